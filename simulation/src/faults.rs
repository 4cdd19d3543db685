//! What goes wrong although nobody lies.

/// A fault of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A request never arrived.
    RequestLost,
    /// A request was carried out, and its answer never arrived.
    AnswerLost,
    /// A request arrived twice.
    RequestRepeated,
    /// A message took days or weeks to its mailbox.
    MessageDelayed,
    /// A message came after one that was sent later.
    MessagesReordered,
    /// A message arrived twice.
    MessageRepeated,
    /// A message was accepted and lost.
    MessageLost,
    /// A client crashed between two steps.
    ClientCrashed,
    /// The server crashed between two steps.
    ServerCrashed,
    /// A witness did not answer.
    WitnessDown,
    /// No quorum answered, so that nothing was published.
    NotPublished,
    /// A replica that lags behind answered.
    ReplicaLagged,
    /// A client's clock was off by hours.
    ClockOff,
    /// A client's clock was off by days.
    ClockBroken,
    /// A client lost what it knew of the log.
    LogStateLost,
    /// A client lost whom it had met.
    ContactsLost,
    /// A device lost its keys; its owner kept the identity.
    DeviceLost,
    /// An old copy of an account's state was put back.
    StatePutBack,
    /// A client lost everything, and the operator reset its account.
    EverythingLost,
    /// A signed prekey was used after its owner had replaced it.
    PreKeyRotated,
    /// A signed prekey expired because its owner was away.
    PreKeyExpired,
    /// A pool ran empty.
    PoolEmpty,
    /// A message came after its signed prekey's secret was erased.
    RetentionOver,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 23] = [
        Self::RequestLost,
        Self::AnswerLost,
        Self::RequestRepeated,
        Self::MessageDelayed,
        Self::MessagesReordered,
        Self::MessageRepeated,
        Self::MessageLost,
        Self::ClientCrashed,
        Self::ServerCrashed,
        Self::WitnessDown,
        Self::NotPublished,
        Self::ReplicaLagged,
        Self::ClockOff,
        Self::ClockBroken,
        Self::LogStateLost,
        Self::ContactsLost,
        Self::DeviceLost,
        Self::StatePutBack,
        Self::EverythingLost,
        Self::PreKeyRotated,
        Self::PreKeyExpired,
        Self::PoolEmpty,
        Self::RetentionOver,
    ];
}

/// How often faults happen, in thousandths of the occasions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    /// A request is lost.
    pub request_lost: u64,
    /// An answer is lost.
    pub answer_lost: u64,
    /// A request is repeated.
    pub request_repeated: u64,
    /// A message is delayed by hours to weeks.
    pub message_delayed: u64,
    /// A message is delivered twice.
    pub message_repeated: u64,
    /// A message is lost.
    pub message_lost: u64,
    /// A client crashes during an operation.
    pub client_crash: u64,
    /// The server crashes during a request.
    pub server_crash: u64,
    /// A witness is down.
    pub witness_down: u64,
    /// A replica lags behind.
    pub replica_lag: u64,
}

impl Weather {
    /// Nothing goes wrong.
    pub const CALM: Self = Self {
        request_lost: 0,
        answer_lost: 0,
        request_repeated: 0,
        message_delayed: 0,
        message_repeated: 0,
        message_lost: 0,
        client_crash: 0,
        server_crash: 0,
        witness_down: 0,
        replica_lag: 0,
    };

    /// Now and then something goes wrong.
    pub const FAIR: Self = Self {
        request_lost: 20,
        answer_lost: 20,
        request_repeated: 30,
        message_delayed: 300,
        message_repeated: 100,
        message_lost: 30,
        client_crash: 30,
        server_crash: 10,
        witness_down: 100,
        replica_lag: 50,
    };

    /// Much goes wrong.
    pub const FOUL: Self = Self {
        request_lost: 80,
        answer_lost: 80,
        request_repeated: 100,
        message_delayed: 500,
        message_repeated: 250,
        message_lost: 150,
        client_crash: 150,
        server_crash: 60,
        witness_down: 300,
        replica_lag: 200,
    };
}
