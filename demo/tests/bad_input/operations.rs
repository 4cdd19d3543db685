//! The draft's operations: malformed bytes, labels, tree sizes and versions.

use keyglass_account::problem::Problem;
use keyglass_keytrans::{
    config::DeploymentMode,
    wire::{
        ContactMonitorRequest, Context, DistinguishedRequest, LabelValue, MonitorMapEntry, OwnerInitRequest,
        OwnerMonitorRequest, SearchRequest, UpdateRequest, Wire,
    },
};

use crate::{
    bench::Bench,
    support::{account::update, api::Call},
};

const SEARCH: &str = "/v1/search";
const UPDATE: &str = "/v1/update";
const CONTACT_MONITOR: &str = "/v1/contact-monitor";
const OWNER_INIT: &str = "/v1/owner-init";
const OWNER_MONITOR: &str = "/v1/owner-monitor";
const DISTINGUISHED: &str = "/v1/distinguished";

/// Good requests of every operation about this label, after this tree size.
fn good(label: &[u8], last: Option<u64>) -> Vec<(&'static str, Vec<u8>)> {
    let label = label.to_vec();
    let entries = vec![MonitorMapEntry { position: 0, version: 0 }];
    let search = SearchRequest { last, label: label.clone(), version: Some(0) };
    let update = UpdateRequest { last, label: label.clone(), greatest_version: Some(0), values: Vec::new() };
    let contact = ContactMonitorRequest { last, label: label.clone(), entries: entries.clone() };
    let init = OwnerInitRequest { last, label: label.clone(), start: 0 };
    let owner = OwnerMonitorRequest { last, label, entries, start: 0, greatest_version: Some(1) };
    let distinguished = DistinguishedRequest { last, stop: None };
    vec![
        (SEARCH, search.encode().unwrap()),
        (UPDATE, update.encode().unwrap()),
        (CONTACT_MONITOR, contact.encode().unwrap()),
        (OWNER_INIT, init.encode().unwrap()),
        (OWNER_MONITOR, owner.encode().unwrap()),
        (DISTINGUISHED, distinguished.encode().unwrap()),
    ]
}

/// The tree size that is published.
async fn size(bench: &Bench) -> u64 {
    let report: serde_json::Value = bench.api.call(Call::get("/readyz")).await.json();
    report["published"].as_u64().unwrap()
}

fn search(label: &[u8], version: Option<u32>) -> Vec<u8> {
    SearchRequest { last: None, label: label.to_vec(), version }.encode().unwrap()
}

#[tokio::test]
async fn operations_refuse_malformed_bytes() {
    let bench = Bench::start().await;
    let before = bench.state().await;
    let record = bench.account.records[0].clone();
    let storing = update(b"nobody", None, &[&record]);
    let mut requests = good(&bench.account.label, Some(1));
    requests.push((UPDATE, storing));
    for (path, request) in requests {
        for length in 0..request.len().min(200) {
            let cut = request[..length].to_vec();
            bench
                .answers(&format!("cut to {length} bytes"), Call::operation(path, cut), Problem::Truncated)
                .await;
        }
        for extra in [&b"\0"[..], b"more", &request] {
            let long = [&request, extra].concat();
            bench.answers("trailing bytes", Call::operation(path, long), Problem::TrailingBytes).await;
        }
        let mut presence = request.clone();
        presence[0] = 2;
        bench.answers("a presence octet of 2", Call::operation(path, presence), Problem::Malformed).await;
        let call = Call { media_type: "text/plain", ..Call::operation(path, request.clone()) };
        bench.answers("another media type", call, Problem::UnsupportedMediaType).await;
        let call = Call { method: reqwest::Method::PUT, ..Call::operation(path, request) };
        bench.answers("another method", call, Problem::MethodNotAllowed).await;
    }
    bench.answers("no such path", Call::operation("/v1/nothing", Vec::new()), Problem::NotFound).await;
    bench.unchanged("a malformed request", &before).await;
    bench.finish("malformed bytes", 300);
}

#[tokio::test]
async fn operations_refuse_what_is_too_long() {
    let bench = Bench::start().await;
    let before = bench.state().await;
    for (path, request) in good(&bench.account.label, None) {
        let limit = if path == UPDATE { 1 << 20 } else { 4096 };
        for length in [limit + 1, 3 << 20] {
            let mut body = request.clone();
            body.resize(length, 0);
            bench
                .answers(&format!("{length} bytes"), Call::operation(path, body), Problem::BodyTooLarge)
                .await;
        }
    }
    // What announces more than it brings is refused without being waited or made room for.
    let mut huge = update(b"nobody", None, &[]);
    huge.pop();
    huge.extend([1, 0xff, 0xff, 0xff, 0xff, 7]);
    bench.answers("a value of 4 GiB is announced", Call::operation(UPDATE, huge), Problem::Truncated).await;
    let mut many = update(b"nobody", None, &[]);
    many.pop();
    many.push(255);
    bench.answers("255 values are announced", Call::operation(UPDATE, many), Problem::Truncated).await;
    let mut label = search(b"x", None);
    label[1] = 255;
    bench
        .answers("a label of 255 bytes is announced", Call::operation(SEARCH, label), Problem::Truncated)
        .await;
    bench.unchanged("a request that is too long", &before).await;
    bench.finish("oversized bodies", 15);
}

#[tokio::test]
async fn operations_refuse_labels_and_tree_sizes_that_cannot_be() {
    let bench = Bench::start().await;
    let before = bench.state().await;
    for (path, request) in good(b"", None) {
        if path != DISTINGUISHED {
            bench.answers("an empty label", Call::operation(path, request), Problem::LabelLength).await;
        }
    }
    let record = &bench.account.records[0];
    let empty = Call::operation(UPDATE, update(b"", None, &[record]));
    bench.answers("an empty label with a value", empty, Problem::LabelLength).await;

    let size = size(&bench).await;
    for last in [size + 1, size + 1000, u64::MAX, 0] {
        for (path, request) in good(&bench.account.label, Some(last)) {
            let what = format!("last {last} of {size}");
            bench.answers(&what, Call::operation(path, request), Problem::LastBeyondTree).await;
        }
        let values = vec![LabelValue { value: record.clone() }];
        let request =
            UpdateRequest { last: Some(last), label: b"nobody".to_vec(), greatest_version: None, values };
        let call = Call::operation(UPDATE, request.encode().unwrap());
        bench.answers(&format!("last {last} of {size}, with a value"), call, Problem::LastBeyondTree).await;
    }
    bench.unchanged("a label or tree size that cannot be", &before).await;
    bench.finish("labels and tree sizes", 30);
}

#[tokio::test]
async fn operations_refuse_labels_and_versions_that_are_not_there() {
    let bench = Bench::start().await;
    let before = bench.state().await;
    let (label, record) = (bench.account.label.clone(), bench.account.records[0].clone());
    let unknown = Problem::UnknownLabel;
    for version in [None, Some(0), Some(u32::MAX)] {
        bench.answers("an unknown label", Call::operation(SEARCH, search(b"nobody", version)), unknown).await;
    }
    let longest = [b'x'; 255];
    bench.answers("the longest label", Call::operation(SEARCH, search(&longest, None)), unknown).await;
    bench
        .answers(
            "nothing for an unknown label",
            Call::operation(UPDATE, update(b"nobody", None, &[])),
            unknown,
        )
        .await;
    for version in [2, 3, u32::MAX] {
        let call = Call::operation(SEARCH, search(&label, Some(version)));
        bench.answers("an unknown version", call, Problem::UnknownVersion).await;
    }
    for values in [&[][..], &[&record[..]]] {
        for (label, greatest) in [(&b"nobody"[..], 0), (b"nobody", u32::MAX), (&label, 2), (&label, u32::MAX)]
        {
            let call = Call::operation(UPDATE, update(label, Some(greatest), values));
            bench
                .answers(&format!("greatest version {greatest}"), call, Problem::GreatestVersionBeyond)
                .await;
        }
    }
    let call = Call::operation(UPDATE, update(&label, Some(1), &[]));
    bench.answers("the greatest version and no values", call, Problem::NoValues).await;

    // A smaller one is no error: the answer tells of the versions since, whatever the values.
    for (greatest, values) in
        [(None, &[][..]), (Some(0), &[]), (Some(0), &[&record[..]]), (None, &[&record[..]])]
    {
        let answer = bench.api.call(Call::operation(UPDATE, update(&label, greatest, values))).await;
        let context = Context::new(DeploymentMode::ContactMonitoring);
        let responses = keyglass_keytrans::client::decode_update_responses(&answer.body, context).unwrap();
        let told: Vec<Vec<u8>> = responses.into_iter().flat_map(|r| r.values).map(|v| v.value).collect();
        let since = greatest.map_or(0, |greatest: u32| greatest as usize + 1);
        bench.check(
            "a smaller greatest version is told of the others",
            told == bench.account.records[since..],
        );
    }
    bench.unchanged("a question about what is not there", &before).await;
    bench.finish("labels and versions", 20);
}
