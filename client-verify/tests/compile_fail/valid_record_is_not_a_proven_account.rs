//! A record whose signatures hold, which no log proved.

use keyglass_account::verify::ValidRecord;
use keyglass_client_verify::proven::ProvenAccount;

fn attempt(record: ValidRecord) -> ProvenAccount {
    record.into()
}

fn main() {}
