//! Every status and header of the log as files, against a log that was hashed leaf by leaf.

use axum::{
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode},
};
use keyglass_keytrans::{log_hash::LogHash, log_tree::Appender, prefix_tree::TreeRoot};
use keyglass_tlog::{
    Digest,
    rfc6962::node_hash,
    tile::{self, FULL_WIDTH, parse_bundle},
};
use rand::{SeedableRng as _, rngs::StdRng};
use tower::ServiceExt as _;

use super::*;
use crate::{
    init::{Choices, new_log},
    log::Limits,
    published::Published,
    store::{Batch, EntryRecord, Store, memory::MemoryStore},
};

#[test]
fn gzip_is_used_only_for_those_who_take_it() {
    let accepts = |value: &'static str| {
        accepts_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]))
    };
    assert!(accepts("gzip") && accepts("br, GZIP;q=0.5") && accepts("identity,gzip"));
    assert!(!accepts("identity") && !accepts("gzip;q=0") && !accepts("gzip; q=0.000") && !accepts("xgzip"));
    assert!(!accepts_gzip(&HeaderMap::new()));
}

/// A log of suite 0xF001 of which only part is published, and its leaves.
struct Files {
    router: Router,
    /// The hashes on each level of tiles, the lowest first.
    levels: Vec<Vec<Digest>>,
    published: u64,
    origin: String,
}

impl Files {
    fn new(sequenced: u64, published: u64) -> Self {
        let choices = Choices {
            prefix: "log.example".to_owned(),
            suite: CipherSuite::Tlog,
            auditor: None,
            max_auditor_lag: 0,
            auditor_start: 0,
            max_ahead: 1,
            max_behind: 1,
            reasonable_monitoring_window: 1,
            maximum_lifetime: None,
        };
        let identity = new_log(&choices, &mut StdRng::seed_from_u64(1)).unwrap().identity;
        let origin = identity.origin.clone();
        let store = MemoryStore::default();
        let mut tree = Appender::new(LogHash::Rfc6962);
        let mut leaves = Vec::new();
        for position in 0..sequenced {
            let entry = EntryRecord { timestamp: position, tree: TreeRoot::EMPTY };
            let leaf = LogHash::Rfc6962.leaf(position, entry.tree.value());
            leaves.push(leaf);
            let nodes = tree.append(leaf);
            let batch =
                Batch { entry, nodes, pages: vec![], superseded: vec![], replaced: vec![], labels: vec![] };
            store.commit(position, &batch).unwrap();
        }
        let heads = Published::open(&store).unwrap();
        let head = PublishedHead { size: published, root: [7; 32], signature: b"line\n".to_vec() };
        heads.publish(&store, head).unwrap();
        let log = Log::new(Arc::new(store), Arc::new(heads), None, Arc::new(identity), Limits::default());
        let mut levels = vec![leaves];
        while let Some(above) = levels.last().filter(|level| level.len() >= 256) {
            let roots = above.chunks_exact(256).map(root_of).collect();
            levels.push(roots);
        }
        Self { router: router(Arc::new(log)), levels, published, origin }
    }

    async fn ask(&self, method: Method, path: &str, gzip: bool) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(path);
        if gzip {
            request = request.header(header::ACCEPT_ENCODING, "gzip, identity");
        }
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        (status, headers, to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec())
    }

    async fn get(&self, path: &str) -> (StatusCode, HeaderMap, Vec<u8>) {
        self.ask(Method::GET, path, false).await
    }

    /// Whether the specification says that the published tree has these hashes or entries.
    fn exists(&self, tile: &Tile) -> bool {
        let level = match tile.content() {
            Content::Hashes { level } => level,
            Content::Entries => 0,
        };
        let on_level = self.published / 256_u64.pow(u32::from(level));
        tile.index() * 256 + u64::from(tile.width()) <= on_level
    }

    async fn check(&self, tile: Tile) {
        let (status, headers, body) = self.get(&format!("/{tile}")).await;
        if !self.exists(&tile) {
            assert_eq!(status, StatusCode::NOT_FOUND, "{tile}");
            assert_eq!(headers[header::CACHE_CONTROL], "no-store", "it may be there soon");
            return;
        }
        assert_eq!(status, StatusCode::OK, "{tile}");
        assert_eq!(headers[header::CONTENT_TYPE], "application/octet-stream");
        assert_eq!(headers[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        assert_eq!(headers.get(header::CONTENT_ENCODING), None);
        let first = usize::try_from(tile.index() * 256).unwrap();
        let range = first..first + usize::from(tile.width());
        match tile.content() {
            Content::Hashes { level } => {
                assert_eq!(headers.get(header::VARY), None);
                assert_eq!(body, self.levels[usize::from(level)][range].concat(), "{tile}");
            }
            Content::Entries => {
                assert_eq!(headers[header::VARY], "accept-encoding");
                let entries = parse_bundle(&tile, &body).unwrap();
                let hashes: Vec<Digest> =
                    entries.iter().map(|entry| keyglass_tlog::rfc6962::leaf_hash(entry)).collect();
                assert_eq!(hashes, self.levels[0][range], "{tile}");
            }
        }
    }
}

/// The root of 256 hashes, two by two.
fn root_of(full: &[Digest]) -> Digest {
    let mut row = full.to_vec();
    while row.len() > 1 {
        row = row.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    row[0]
}

/// Tiles at the edges of all levels, of sizes that were published and of those that were not.
fn edges(published: u64, sequenced: u64) -> Vec<Tile> {
    let mut tiles = Vec::new();
    for (content, per_hash) in [
        (Content::Entries, 1),
        (Content::Hashes { level: 0 }, 1),
        (Content::Hashes { level: 1 }, 256),
        (Content::Hashes { level: 2 }, 65_536),
        (Content::Hashes { level: 3 }, 1 << 24),
        (Content::Hashes { level: 7 }, 1 << 56),
    ] {
        for at in [0, 1, published / per_hash, sequenced / per_hash] {
            for index in [at / 256, at / 256 + 1, (at / 256).saturating_sub(1)] {
                let widths = [1, 2, at % 256, at % 256 + 1, 254, 255, 256];
                let widths = widths.into_iter().filter(|width| (1..=256).contains(width));
                let made =
                    widths.filter_map(|width| Tile::new(content, index, u16::try_from(width).unwrap()).ok());
                tiles.extend(made);
            }
        }
    }
    tiles.sort_unstable();
    tiles.dedup();
    tiles
}

#[tokio::test]
async fn exactly_the_tiles_of_the_published_tree_are_there() {
    for (sequenced, published) in
        [(1, 1), (3, 2), (256, 255), (257, 256), (258, 257), (600, 512), (65_540, 65_535), (65_800, 65_537)]
    {
        let files = Files::new(sequenced, published);
        for tile in edges(published, sequenced) {
            files.check(tile).await;
        }
        // What every earlier checkpoint required is still there.
        for size in [1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, published] {
            for tile in tile::partial_tiles(size.min(published)) {
                assert!(files.exists(&tile));
                files.check(tile).await;
            }
        }
        let all: Vec<Tile> = tile::new_tiles(0, published).collect();
        for tile in all.iter().step_by(all.len().div_ceil(20)) {
            files.check(*tile).await;
        }
    }
}

#[tokio::test]
async fn paths_that_name_nothing_are_not_found() {
    let files = Files::new(300, 300);
    let mut good = 0;
    for path in
        ["/tile/0/000", "/tile/0/001.p/44", "/tile/entries/000", "/tile/entries/001.p/44", "/tile/1/000.p/1"]
    {
        assert_eq!(files.get(path).await.0, StatusCode::OK, "{path}");
        good += 1;
    }
    assert_eq!(good, 5);
    let long = format!("/tile/0/{}000", "x000/".repeat(2000));
    for path in [
        "/tile",
        "/tile/",
        "/tile/0",
        "/tile/0/",
        "/tile/0/0",
        "/tile/0/00",
        "/tile/0/0000",
        "/tile/0/x000/000",
        "/tile/0/x000",
        "/tile/0/001",
        "/tile/0/001.p/45",
        "/tile/0/002.p/1",
        "/tile/0/000.p/0",
        "/tile/0/000.p/256",
        "/tile/0/000.p/257",
        "/tile/0/000.p/01",
        "/tile/0/000.p/+1",
        "/tile/0/000.p/",
        "/tile/0/000.p/44/",
        "/tile/0/000/",
        "/tile//000",
        "/tile/00/000",
        "/tile/+0/000",
        "/tile/1/000",
        "/tile/1/000.p/2",
        "/tile/2/000.p/1",
        "/tile/7/000.p/1",
        "/tile/8/000.p/1",
        "/tile/63/000.p/1",
        "/tile/64/000.p/1",
        "/tile/256/000",
        "/tile/x/000",
        "/tile/entries",
        "/tile/entries/",
        "/tile/entries/002.p/1",
        "/tile/Entries/000",
        "/tile/data/000",
        "/tile/0/x999/x999/x999/x999/x999/x999/999.p/1",
        "/tile/0/000%00",
        "/tile/0/..%2f0/000",
        "/checkpoint/",
        &long,
    ] {
        for method in [Method::GET, Method::HEAD] {
            let (status, _, _) = files.ask(method, path, false).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        }
    }
}

#[tokio::test]
async fn heads_and_methods_and_encodings() {
    let files = Files::new(300, 300);
    let (status, headers, body) = files.get("/checkpoint").await;
    assert_eq!(
        (status, headers[header::CONTENT_TYPE].as_bytes()),
        (StatusCode::OK, &b"text/plain; charset=utf-8"[..])
    );
    assert_eq!(headers[header::CACHE_CONTROL], "public, max-age=1");
    assert_eq!(headers.get(header::VARY), None);
    let root = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    assert_eq!(String::from_utf8(body).unwrap(), format!("{}\n300\n{root}\n\nline\n", files.origin));

    for path in ["/checkpoint", "/tile/0/000", "/tile/entries/001.p/44"] {
        for gzip in [false, true] {
            let (_, of_get, body) = files.ask(Method::GET, path, gzip).await;
            let (status, of_head, nothing) = files.ask(Method::HEAD, path, gzip).await;
            assert_eq!((status, nothing.len()), (StatusCode::OK, 0), "{path}");
            assert_eq!(of_head[header::CONTENT_LENGTH], body.len().to_string().as_str());
            for name in [header::CONTENT_TYPE, header::CACHE_CONTROL, header::VARY, header::CONTENT_ENCODING]
            {
                assert_eq!(of_head.get(&name), of_get.get(&name), "{path} {name}");
            }
        }
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            assert_eq!(files.ask(method, path, false).await.0, StatusCode::METHOD_NOT_ALLOWED);
        }
    }
    // Only entries are worth compressing.
    let (_, headers, tile) = files.ask(Method::GET, "/tile/0/000", true).await;
    assert_eq!((headers.get(header::CONTENT_ENCODING), tile.len()), (None, usize::from(FULL_WIDTH) * 32));
    let (_, headers, packed) = files.ask(Method::GET, "/tile/entries/000", true).await;
    assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut unpacked).unwrap();
    assert_eq!(unpacked, files.get("/tile/entries/000").await.2);
}
