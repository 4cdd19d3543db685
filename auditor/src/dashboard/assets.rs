//! What pages load, at paths that change with the content, so that it may be kept for ever.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use keyglass_crypto::hash::sha256;

struct Asset {
    name: &'static str,
    media_type: &'static str,
    content: &'static [u8],
    path: String,
}

const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

static ASSETS: LazyLock<[Asset; 5]> = LazyLock::new(|| {
    [
        ("uplot.min.css", STYLE, &include_bytes!("../../assets/uplot.min.css")[..]),
        ("dashboard.css", STYLE, include_bytes!("../../assets/dashboard.css")),
        ("htmx.min.js", SCRIPT, include_bytes!("../../assets/htmx.min.js")),
        ("uplot.min.js", SCRIPT, include_bytes!("../../assets/uplot.min.js")),
        ("dashboard.js", SCRIPT, include_bytes!("../../assets/dashboard.js")),
    ]
    .map(|(name, media_type, content)| {
        let hash = sha256(&[content]);
        let short = hash.first_chunk::<8>().map(hex::encode).unwrap_or_default();
        Asset { name, media_type, content, path: format!("/assets/{short}/{name}") }
    })
});

/// The paths of all styles, in their order.
pub(super) fn styles() -> impl Iterator<Item = &'static str> {
    paths(STYLE)
}

/// The paths of all scripts, in their order.
pub(super) fn scripts() -> impl Iterator<Item = &'static str> {
    paths(SCRIPT)
}

fn paths(media_type: &'static str) -> impl Iterator<Item = &'static str> {
    ASSETS.iter().filter(move |asset| asset.media_type == media_type).map(|asset| asset.path.as_str())
}

/// `GET /assets/<hash>/<name>`.
pub(super) async fn serve(Path((hash, name)): Path<(String, String)>) -> Response {
    let path = format!("/assets/{hash}/{name}");
    let Some(asset) = ASSETS.iter().find(|asset| asset.path == path && asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut response = asset.content.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
    let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, kept);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendored_files_are_the_ones_that_the_note_names() {
        let note = include_str!("../../assets/README.md");
        for asset in ASSETS.iter().filter(|asset| !asset.name.starts_with("dashboard")) {
            let hash = hex::encode(sha256(&[asset.content]));
            let line = note.lines().find(|line| line.contains(asset.name)).unwrap();
            assert!(line.contains(&hash), "{}: {hash}", asset.name);
        }
    }
}
