//! Whole answers of a log, through decoding, the draft's algorithms and all verification.

use std::sync::LazyLock;

use keyglass_keytrans::client::UserState;

use crate::scenes::{self, Scene};

static SCENES: LazyLock<Vec<Scene>> = LazyLock::new(scenes::load);

/// The first byte says where the client stands, the rest is the answer.
pub fn answer(input: &[u8]) {
    let Some((which, bytes)) = input.split_first() else { return };
    let Some(scene) = SCENES.get(usize::from(*which)) else { return };
    if let Ok(state) = scene.read(bytes) {
        // What is stored is what is read back.
        assert_eq!(UserState::decode(&state.encode().unwrap()).as_ref(), Ok(&state));
        // Nobody but the log and its witnesses can make another answer under another head; here nobody has their keys.
        let honest = scene.read(&scene.honest).expect("the honest answer is accepted");
        let head = |state: &UserState| {
            state.tree.as_ref().map(|tree| (tree.tree_size(), tree.full_subtrees.clone()))
        };
        assert_eq!(head(&state), head(&honest), "a head that nobody signed");
    }
}

/// An input of [`answer`] for each place where a client stands: the honest one.
#[must_use]
pub fn honest_answers() -> Vec<Vec<u8>> {
    let with_place = |(place, scene): (usize, &Scene)| {
        u8::try_from(place).ok().map(|place| [&[place], scene.honest.as_slice()].concat())
    };
    SCENES.iter().enumerate().filter_map(with_place).collect()
}

/// What the client retains at each of these places.
#[must_use]
pub fn stored_states() -> Vec<Vec<u8>> {
    SCENES.iter().filter_map(|scene| scene.state.encode().ok()).collect()
}
