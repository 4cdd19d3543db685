//! The lies of a server that was turned against its users, and what `docs/threats.md` promises about each: who notices,
//! with which verdict, and when.

use keyglass_client_verify::verdict::Verdict;

/// A lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lie {
    /// A search is answered with another identity's record in place of the value.
    SwapRecord,
    /// A label that exists is denied.
    DenyLabel,
    /// A head that was published long ago is served.
    OldHead,
    /// One client is shown a fork that no quorum has cosigned.
    Unwitnessed,
    /// A client that holds a head is shown a fork that a quorum cosigned, a colluding witness among it.
    ForkShown,
    /// Users are kept on different sides of such a fork.
    ForkAcross,
    /// The log adds a device to an account.
    AddDevice,
    /// The log resets an account.
    Reset,
    /// The log resets an account, and buries the reset under a version that the new identity signs.
    BuriedReset,
    /// The log resets an account in lockdown.
    ResetInLockdown,
    /// The log shows an older, genuine record again as a later version.
    OldRecord,
    /// A bundle has a signed prekey of the attacker's.
    SwapSignedPreKey,
    /// A bundle has the signed prekey that its owner has replaced.
    OldSignedPreKey,
    /// A bundle has a one-time prekey of the attacker's.
    SwapOneTime,
    /// A one-time prekey is handed out twice.
    RepeatOneTime,
    /// A one-time prekey is handed out that its owner has lost.
    ResurrectOneTime,
    /// A bundle goes without its one-time prekey.
    StripOneTime,
    /// A bundle has a KEM prekey of the attacker's.
    SwapKem,
    /// A bundle goes without a KEM prekey, so that a weaker handshake is used.
    StripKem,
    /// A bundle is another device's.
    OtherBundle,
    /// A message is kept back for ever.
    WithholdMessage,
    /// A message is delivered again, long after.
    ReplayMessage,
    /// A message is altered.
    AlterMessage,
    /// A message is delivered to another device.
    MisdeliverMessage,
}

/// Who notices a lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Whoever was lied to.
    Client,
    /// Whoever sends to the account.
    Sender,
    /// Whoever receives the message.
    Receiver,
    /// Every client, the account's owner among them.
    Everybody,
    /// The owner of the account, who sees that the pool was emptied.
    Owner,
}

/// When it is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before anything of the answer is used.
    AtOnce,
    /// When the account is looked up next.
    NextLookUp,
    /// When the message is read.
    WhenRead,
    /// `max_behind` after the last head that may be used.
    MaxBehind,
    /// When the signed prekey expires.
    PreKeyExpiry,
    /// It is visible at once, and no alarm.
    Visible,
    /// It shows when both sides compare what they have.
    NotNoticed,
}

/// What is promised about a lie.
#[derive(Debug, Clone, Copy)]
pub struct Promise {
    /// The lie.
    pub lie: Lie,
    /// Who notices.
    pub who: Who,
    /// The verdicts of which one is given.
    pub verdicts: &'static [Verdict],
    /// When.
    pub when: When,
}

const fn promise(lie: Lie, who: Who, verdicts: &'static [Verdict], when: When) -> Promise {
    Promise { lie, who, verdicts, when }
}

/// The promises, one for each lie.
pub const PROMISES: [Promise; 24] = {
    use Verdict::*;
    [
        promise(Lie::SwapRecord, Who::Client, &[Invalid], When::AtOnce),
        promise(Lie::DenyLabel, Who::Client, &[Withheld, NotFound], When::AtOnce),
        promise(Lie::OldHead, Who::Client, &[Stale, Unreconciled], When::MaxBehind),
        promise(Lie::Unwitnessed, Who::Client, &[Unwitnessed, Misbehaving, Unreconciled], When::AtOnce),
        promise(Lie::ForkShown, Who::Client, &[Misbehaving, Unreconciled], When::AtOnce),
        promise(Lie::ForkAcross, Who::Receiver, &[Misbehaving, Unreconciled, Disputed], When::WhenRead),
        promise(Lie::AddDevice, Who::Everybody, &[Refused, Unexpected], When::NextLookUp),
        promise(Lie::Reset, Who::Everybody, &[Changed, Unexpected], When::NextLookUp),
        promise(Lie::BuriedReset, Who::Everybody, &[Changed, Unexpected], When::NextLookUp),
        promise(Lie::ResetInLockdown, Who::Everybody, &[Refused, Unexpected], When::NextLookUp),
        promise(Lie::OldRecord, Who::Everybody, &[Refused, Unexpected], When::NextLookUp),
        promise(Lie::SwapSignedPreKey, Who::Sender, &[Refused], When::AtOnce),
        promise(Lie::OldSignedPreKey, Who::Sender, &[Refused], When::PreKeyExpiry),
        promise(Lie::SwapOneTime, Who::Sender, &[Refused], When::AtOnce),
        promise(Lie::RepeatOneTime, Who::Receiver, &[Undecryptable], When::WhenRead),
        promise(Lie::ResurrectOneTime, Who::Sender, &[Refused], When::AtOnce),
        promise(Lie::StripOneTime, Who::Sender, &[], When::Visible),
        promise(Lie::SwapKem, Who::Sender, &[Refused], When::AtOnce),
        promise(Lie::StripKem, Who::Sender, &[Refused], When::AtOnce),
        promise(Lie::OtherBundle, Who::Sender, &[Refused], When::AtOnce),
        promise(Lie::WithholdMessage, Who::Receiver, &[], When::NotNoticed),
        promise(Lie::ReplayMessage, Who::Receiver, &[], When::Visible),
        promise(Lie::AlterMessage, Who::Receiver, &[Undecryptable, Refused], When::AtOnce),
        promise(Lie::MisdeliverMessage, Who::Receiver, &[Undecryptable], When::AtOnce),
    ]
};

impl Lie {
    /// What is promised about it.
    #[must_use]
    pub fn promise(self) -> &'static Promise {
        PROMISES.iter().find(|promise| promise.lie == self).unwrap()
    }

    /// Whether the log holds the lie from then on, for everybody to see.
    #[must_use]
    pub fn is_in_the_log(self) -> bool {
        matches!(
            self,
            Self::AddDevice | Self::Reset | Self::BuriedReset | Self::ResetInLockdown | Self::OldRecord
        )
    }
}
