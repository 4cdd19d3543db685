//! A headless Chromium, driven over WebDriver (W3C) and the DevTools commands that ChromeDriver passes on.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

/// How long the browser may take to start, and a page to be as it should be.
pub const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// A browser with one window. Ended when dropped.
pub struct Browser {
    session: String,
    http: reqwest::Client,
    driver: Child,
    _profile: tempfile::TempDir,
}

fn found(names: &[&str]) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    let directories: Vec<_> = std::env::split_paths(&path).collect();
    let all = names.iter().flat_map(|name| directories.iter().map(move |directory| directory.join(name)));
    all.into_iter().find(|program| program.is_file())
}

impl Browser {
    /// Starts one; none if Chromium or its driver is not installed.
    pub async fn start() -> Option<Self> {
        let (driver, chromium) = (found(&["chromedriver"])?, found(&["chromium"])?);
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new(driver)
            .arg("--port=0")
            // Whatever the browser starts ends with the driver's group.
            .process_group(0)
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, port)) = line.split_once("started successfully on port ") {
                    return port.trim_end_matches('.').parse::<u16>().unwrap();
                }
            }
            panic!("the driver says no port")
        };
        let port = tokio::time::timeout(PATIENCE, port).await.unwrap();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let user_data = format!("--user-data-dir={}", profile.path().join("profile").display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--no-default-browser-check",
            "--window-size=1280,900",
            &user_data,
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": chromium, "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let server = format!("http://127.0.0.1:{port}/session");
        let answer = http.post(&server).json(&capabilities).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let id = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {answer}"));
        let session = format!("{server}/{id}");
        Some(Self { session, http, driver, _profile: profile })
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.http.post(format!("{}{path}", self.session)).json(&body).send().await.unwrap();
        let (status, mut answer) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert!(status.is_success(), "{path}: {answer}");
        answer["value"].take()
    }

    /// Opens a page and waits until it is loaded.
    pub async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// Runs the body of a function and gives what it returns; promises are waited for.
    pub async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Runs a script until it returns something true.
    pub async fn until(&self, what: &str, script: &str) -> Value {
        let began = std::time::Instant::now();
        loop {
            let value = self.run(script).await;
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return value;
            }
            if began.elapsed() > PATIENCE {
                let text = self.run("return document.body.innerText").await;
                panic!("{what}: not so after {PATIENCE:?}:\n{}", text.as_str().unwrap_or_default());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A DevTools command.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// Makes the window as wide as a telephone's, or as it was.
    pub async fn width(&self, width: Option<u32>) {
        match width {
            Some(width) => {
                let size = json!({ "width": width, "height": 740, "deviceScaleFactor": 1, "mobile": false });
                self.devtools("Emulation.setDeviceMetricsOverride", size).await;
            }
            None => {
                self.devtools("Emulation.clearDeviceMetricsOverride", json!({})).await;
            }
        }
    }

    /// Prefers light or dark.
    pub async fn scheme(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Presses the tabulator key.
    pub async fn tab(&self) {
        let press = json!([
            { "type": "keyDown", "value": "\u{e004}" }, { "type": "keyUp", "value": "\u{e004}" },
        ]);
        let keys = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": press }] });
        self.post("/actions", keys).await;
    }

    /// The entries of a log since it was asked last: `browser` has the console, `performance` the requests.
    async fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.post("/se/log", json!({ "type": kind })).await;
        entries.as_array().cloned().unwrap_or_default()
    }

    /// What the console says, violations of the content policy included.
    pub async fn console(&self) -> Vec<String> {
        self.log("browser").await.iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Where anything was asked for.
    pub async fn requests(&self) -> Vec<String> {
        let entries = self.log("performance").await;
        let requests = entries.iter().filter_map(|entry| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &message["message"];
            (message["method"] == "Network.requestWillBeSent")
                .then(|| message["params"]["request"]["url"].as_str().unwrap().to_owned())
        });
        requests.collect()
    }

    /// Writes what is seen.
    pub async fn screenshot(&self, to: &Path) {
        use base64::Engine as _;
        let answer = self.http.get(format!("{}/screenshot", self.session)).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let png =
            base64::engine::general_purpose::STANDARD.decode(answer["value"].as_str().unwrap()).unwrap();
        std::fs::write(to, png).unwrap();
    }

    /// Ends it.
    pub async fn stop(mut self) {
        let _ = self.http.delete(&self.session).send().await;
        self.end();
        let _ = self.driver.wait().await;
    }

    fn end(&self) {
        let leader =
            self.driver.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(leader) = leader {
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.end();
    }
}
