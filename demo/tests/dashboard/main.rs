//! The auditor's pages in a headless Chromium: what a person sees, with real programs behind it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

mod browser;
mod world;

use std::{collections::BTreeSet, time::Instant};

use browser::Browser;
use serde_json::Value;
use world::World;

/// What no page may lack, and what no page may do. Gives complaints.
const JUDGE: &str = r#"
const bad = [];
const all = (selector) => [...document.querySelectorAll(selector)];
if (document.documentElement.lang !== "en") bad.push("no language");
for (const [selector, count] of [["h1", 1], ["main", 1], ["header", 1], ["footer", 1], ["title", 1]])
  if (all(selector).length !== count) bad.push(`${all(selector).length} times ${selector}`);
const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
if (wide > 0) {
  bad.push(`wider than the window by ${wide}`);
  for (const e of all("main *")) if (e.getBoundingClientRect().right > innerWidth + 1) bad.push(`${e.tagName}.${e.className}: ${e.textContent.slice(0, 60)}`);
}
for (const input of all("input, progress")) if (!input.labels.length) bad.push(`no label: ${input.id}`);
for (const nav of all("nav")) if (!nav.getAttribute("aria-label")) bad.push("a menu without a name");
if (!document.querySelector("[aria-live=polite]")) bad.push("nothing is read out");
if (all("[style]").some((e) => !e.closest(".uplot"))) bad.push("inline style");
if (all("script:not([src]), [onclick], style").length) bad.push("inline script or style");
const ids = all("[id]").map((e) => e.id);
if (new Set(ids).size !== ids.length) bad.push(`an id twice: ${ids.filter((id, i) => ids.indexOf(id) !== i)}`);
// Contrast of every text with what is behind it (WCAG 2, 1.4.3).
const parse = (color) => (color.match(/[\d.]+/g) || []).map(Number);
const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] === 1) return c; } return [255, 255, 255]; };
for (const e of all("body *")) {
  if (!e.checkVisibility() || e.closest(".uplot, .hidden, .skip") || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
  const [a, b] = [luminance(parse(getComputedStyle(e).color)), luminance(behind(e))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) bad.push(`contrast ${ratio.toFixed(2)}: ${e.tagName}.${e.className} ${e.textContent.slice(0, 40)}`);
}
return bad;
"#;

/// Whether something is drawn on every plot.
const DRAWN: &str = r#"
const plots = [...document.querySelectorAll("[data-plot]")];
return plots.length > 0 && plots.every((plot) => {
  const canvas = plot.querySelector("canvas");
  if (!canvas || !(Number(plot.dataset.drawn) > 1)) return false;
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let drawn = 0;
  for (let i = 3; i < data.length; i += 4) if (data[i] > 0) drawn++;
  return drawn > 500 && /^Entries over time: from /.test(plot.querySelector("figcaption").textContent);
});
"#;

/// Everything that can be focused and is seen.
const FOCUSABLE: &str = r#"
const seen = [...document.querySelectorAll("a[href], button, input, summary, [tabindex='0']")].filter((e) => e.checkVisibility());
seen.forEach((e, i) => e.dataset.stop = i);
return seen.length;
"#;

async fn judge(browser: &Browser, page: &str) {
    for (scheme, width) in [("light", None), ("dark", Some(360)), ("light", Some(360)), ("dark", None)] {
        browser.scheme(scheme).await;
        browser.width(width).await;
        let complaints = browser.run(JUDGE).await;
        assert_eq!(complaints, Value::Array(Vec::new()), "{page}, {scheme}, {width:?}");
    }
}

/// Every control is reached with the tabulator key alone.
async fn reach_everything(browser: &Browser, page: &str) {
    // Updates replace what is counted.
    browser.run("document.getElementById('pause').click(); document.activeElement.blur();").await;
    let count = browser.run(FOCUSABLE).await.as_u64().unwrap();
    let mut reached = BTreeSet::new();
    for _ in 0..=count {
        browser.tab().await;
        if let Some(stop) = browser.run("return document.activeElement.dataset.stop").await.as_str() {
            let outlined = browser.run("const s = getComputedStyle(document.activeElement); return s.outlineStyle !== 'none' && s.outlineWidth !== '0px';").await;
            assert_eq!(outlined, true, "{page}: the focus on {stop} is not seen");
            reached.insert(stop.to_owned());
        }
    }
    assert_eq!(reached.len() as u64, count, "{page}: {reached:?}");
    browser.run("document.getElementById('pause').click()").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_a_log_and_its_lie() {
    let Some(browser) = Browser::start().await else {
        println!("skipped: chromium and chromium-driver are not installed");
        return;
    };
    let world = World::start().await;
    browser.open(&world.url("/")).await;
    browser.until("the log is in order", "return /in order/.test(document.body.innerText)").await;
    browser.until("the plot is drawn", DRAWN).await;
    let size = "return document.querySelector('td[data-label=Entries]').innerText";
    let before = browser.run(size).await;
    let grown = format!("{size} !== {before}");
    browser.until("the table follows the log without a reload", &grown).await;
    judge(&browser, "/").await;
    reach_everything(&browser, "/").await;

    // Somebody is on the page when the lie comes to light.
    let began = Instant::now();
    world.equivocate().await;
    browser.until("the lie is seen", "return /proven to lie/.test(document.body.innerText)").await;
    println!("seen {:.1} s after the first of two people reported", began.elapsed().as_secs_f64());
    let words = "return /signed two histories/.test(document.getElementById('announce').textContent)";
    browser.until("the lie is read out", words).await;
    if let Some(to) = std::env::var_os("KEYGLASS_SCREENSHOT") {
        browser.scheme("light").await;
        browser.width(None).await;
        browser.until("the plot is drawn", DRAWN).await;
        browser.screenshot(std::path::Path::new(&to)).await;
    }

    let status = world.until("there is evidence that names w3", |log| {
        log["evidence"]
            .as_array()
            .unwrap()
            .iter()
            .any(|evidence| evidence["faulty_witnesses"] == serde_json::json!(["w3"]))
    });
    let status = status.await;
    let evidence = status["evidence"].as_array().unwrap();
    let evidence = evidence.iter().find(|evidence| evidence["faulty_witnesses"][0] == "w3").unwrap();
    let file = evidence["file"].as_str().unwrap();
    let log = format!("/logs/{}", world.id);
    let entry = format!("{log}/entry?index=1");
    let explained = format!("/evidence/{file}");
    for (page, words) in [
        ("/", "proven to lie"),
        (&log, "proven faulty"),
        ("/alerts", "signed two histories"),
        (&explained, "is itself proven faulty"),
        (&entry, "This entry is in the log"),
        ("/about", "is this really their key"),
        ("/logs/none", "does not follow a log"),
    ] {
        browser.open(&world.url(page)).await;
        browser
            .until(page, &format!("return document.body.innerText.includes({})", Value::from(words)))
            .await;
        if page == "/" || page == log {
            browser.until("the plot is drawn", DRAWN).await;
        }
        judge(&browser, page).await;
        if page != "/logs/none" {
            reach_everything(&browser, page).await;
        }
    }

    // What is offered to download convinces those who have never heard of this auditor.
    let (directory, policy) =
        (world.system.directory().to_owned(), world.system.policy.display().to_string());
    for (path, name) in [
        (format!("/v1/evidence/{file}"), "evidence"),
        (format!("{log}/entry/proof?index=1"), "proof"),
        (format!("{log}/entry/raw?index=1"), "entry"),
    ] {
        let answer = world.get(&path).await;
        assert_eq!(answer.status(), 200, "{path}");
        std::fs::write(directory.join(name), answer.bytes().await.unwrap()).unwrap();
    }
    let at = |name: &str| directory.join(name).display().to_string();
    let shown = ["evidence", "show", &at("evidence"), "--policy", &policy];
    let shown = keyglass_demo::daemon::run("keyglass", &shown).await.unwrap();
    assert!(shown.starts_with("PROVEN") && shown.contains("The witness w3 cosigned both"), "{shown}");
    let proven = ["proof", "verify", &at("proof"), "--entry", &at("entry"), "--policy", &policy];
    keyglass_demo::daemon::run("keyglass", &proven).await.unwrap();

    // Those who were to be woken were woken, once for each piece of evidence.
    let told = loop {
        let told = std::fs::read_to_string(&world.told).unwrap_or_default();
        if told.contains(file) && told.ends_with('\n') {
            break told;
        }
        assert!(began.elapsed() < 4 * browser::PATIENCE, "{told}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let of_file = told.lines().filter(|line| line.contains(&format!("\"key\":\"evidence:{file}\""))).count();
    assert_eq!(of_file, 1, "{told}");

    // The one refusal was asked for; a browser tells of it.
    let console: Vec<String> =
        browser.console().await.into_iter().filter(|line| !line.contains("/logs/none")).collect();
    assert_eq!(console, Vec::<String>::new());
    let requests = browser.requests().await;
    assert!(requests.len() > 20, "{requests:?}");
    for request in requests {
        // The window began with the browser's own page.
        let own = ["data:", "chrome:", "chrome-untrusted:"].iter().any(|scheme| request.starts_with(scheme));
        let own = own || request.starts_with(&world.url("/"));
        assert!(own, "{request} is fetched from elsewhere");
    }
    browser.stop().await;
    world.stop().await;
}
