//! A proven account that gets another record.

use keyglass_account::verify::ValidRecord;
use keyglass_client_verify::proven::ProvenAccount;

fn attempt(mut account: ProvenAccount, record: ValidRecord) -> ProvenAccount {
    account.value = record;
    account
}

fn main() {}
