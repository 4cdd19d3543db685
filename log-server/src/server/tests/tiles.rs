//! The log as files, replayed from the first entry.

use keyglass_tlog::{
    rfc6962::{CompactTree, leaf_hash},
    tile::{Content, Tile, parse_bundle, parse_tile},
};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_log_can_be_followed_by_its_tiles() {
    let rig = Rig::new(CipherSuite::Tlog);
    let quick = |settings: &mut Settings| settings.sequencer.heartbeat = Duration::from_millis(1);
    let (server, client) = rig.start_with("quorum none\n", "127.0.0.1:0", quick).await;
    published(&server, 300).await;

    let response = client.get("/checkpoint").await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    let note = SignedNote::parse(&response.bytes().await.unwrap()).unwrap();
    note.verify(&[&client.verifier.log_keys()[0]]).unwrap();
    let checkpoint = Checkpoint::from_note(&note).unwrap();
    assert_eq!(checkpoint.origin(), rig.origin);
    let size = checkpoint.tree_size();

    let mut tree = CompactTree::new();
    let mut full_tiles = Vec::new();
    for index in 0..=(size - 1) / 256 {
        let width = u16::try_from((size - index * 256).min(256)).unwrap();
        let tile = Tile::new(Content::Hashes { level: 0 }, index, width).unwrap();
        let response = client.get(&format!("/{tile}")).await;
        assert_eq!(response.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/octet-stream");
        let bytes = response.bytes().await.unwrap();
        let hashes = parse_tile(&tile, &bytes).unwrap();
        let bundle = Tile::new(Content::Entries, index, width).unwrap();
        let plain = client.get(&format!("/{bundle}")).await;
        assert_eq!(plain.headers().get(header::CONTENT_ENCODING), None);
        let plain = plain.bytes().await.unwrap();
        for (entry, hash) in parse_bundle(&bundle, &plain).unwrap().into_iter().zip(hashes) {
            assert_eq!(leaf_hash(entry), *hash);
            tree.append(*hash).unwrap();
        }
        let request =
            client.http.get(client.url(&format!("/{bundle}"))).header(header::ACCEPT_ENCODING, "gzip");
        let packed = request.send().await.unwrap();
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
        let mut unpacked = Vec::new();
        let bytes = packed.bytes().await.unwrap();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut unpacked).unwrap();
        assert_eq!(unpacked, plain);
        if width == 256 {
            let mut of_tile = CompactTree::new();
            hashes.iter().for_each(|hash| of_tile.append(*hash).unwrap());
            full_tiles.push(of_tile.root());
        }
    }
    assert_eq!(tree.root(), *checkpoint.root());
    let above = Tile::new(Content::Hashes { level: 1 }, 0, u16::try_from(full_tiles.len()).unwrap()).unwrap();
    let bytes = client.get(&format!("/{above}")).await.bytes().await.unwrap();
    assert_eq!(parse_tile(&above, &bytes).unwrap(), full_tiles);

    for path in [
        "0/001",
        "1/000",
        "entries/999",
        "0/000.p/256",
        "0/0",
        "64/000",
        "x/000",
        "0/000.p/0",
        "entries",
        "0/x000/000",
    ] {
        refused(client.get(&format!("/tile/{path}")).await, Problem::NotFound).await;
    }
    let head = client.http.head(client.url("/tile/0/000")).send().await.unwrap();
    assert_eq!(
        (head.status(), head.headers()[header::CONTENT_LENGTH].to_str().unwrap()),
        (StatusCode::OK, "8192")
    );
    server.stop().await;
}
