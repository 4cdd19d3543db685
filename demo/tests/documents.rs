//! The documents: every link in them, and every document that code speaks of, is there.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

/// What is neither ours nor written for people.
const ELSEWHERE: [&str; 5] = ["target", ".git", "testvectors", "corpus", "assets"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The files below a directory whose names end like this.
fn files(directory: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() {
            if !ELSEWHERE.contains(&name.as_str()) {
                files(&path, endings, found);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

/// The lines outside of blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// The anchors of a document's headings, as the usual renderers make them.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let headings =
        prose(text).filter_map(|line| line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' '));
    headings
        .map(|heading| {
            let kept = heading.to_lowercase();
            let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let times = seen.entry(anchor.clone()).or_default();
            *times += 1;
            if *times == 1 { anchor } else { format!("{anchor}-{}", *times - 1) }
        })
        .collect()
}

/// Where the links of a document lead.
fn links(text: &str) -> Vec<&str> {
    let of_line = |line| {
        let parts = str::split(line, "](").skip(1);
        parts.filter_map(|rest| rest.split_once(')')).map(|(link, _)| link)
    };
    prose(text).flat_map(of_line).collect()
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => assert!(plain.pop(), "{}", path.display()),
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn every_link_leads_somewhere() {
    let mut documents = Vec::new();
    files(&root(), &[".md"], &mut documents);
    let (mut broken, mut checked) = (Vec::new(), 0);
    for document in &documents {
        let text = fs::read_to_string(document).unwrap();
        for link in links(&text) {
            if link.contains("://") || link.contains(' ') {
                continue;
            }
            let (file, anchor) =
                link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
            let target = if file.is_empty() {
                document.clone()
            } else {
                plain(&document.parent().unwrap().join(file))
            };
            let there = match anchor {
                None => target.exists(),
                Some(anchor) => fs::read_to_string(&target)
                    .is_ok_and(|text| anchors(&text).iter().any(|known| known == anchor)),
            };
            if !there {
                broken.push(format!("{}: {link}", document.display()));
            }
            checked += 1;
        }
    }
    println!("{checked} links in {} documents", documents.len());
    assert!(broken.is_empty() && checked > 50, "{}", broken.join("\n"));
}

#[test]
fn documents_that_code_speaks_of_are_there() {
    let (mut sources, mut missing, mut checked) = (Vec::new(), Vec::new(), 0);
    files(&root(), &[".rs", ".toml", ".service", ".yaml", ".sh"], &mut sources);
    for source in &sources {
        let Ok(text) = fs::read_to_string(source) else { continue };
        for (at, _) in text.match_indices("docs/") {
            let path: String =
                text[at..].chars().take_while(|c| c.is_alphanumeric() || "/_-.".contains(*c)).collect();
            let path = path.trim_end_matches('.');
            if !path.ends_with(".md") && !path.ends_with(".py") {
                continue;
            }
            checked += 1;
            if !root().join(path).exists() {
                missing.push(format!("{}: {path}", source.display()));
            }
        }
    }
    assert!(missing.is_empty() && checked > 20, "{checked}: {}", missing.join("\n"));
}
