//! The paths of tiles, below the log's URL prefix.

use core::{fmt, str::FromStr};

use super::{Content, FULL_WIDTH, Tile, TileError};
use crate::text;

impl fmt::Display for Tile {
    /// The path without a leading slash, such as `tile/0/x001/x234/067.p/8`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.content {
            Content::Hashes { level } => write!(f, "tile/{level}/")?,
            Content::Entries => f.write_str("tile/entries/")?,
        }
        let digits = self.index.to_string();
        let groups = digits.len().div_ceil(3);
        let padded = format!("{digits:0>width$}", width = groups.saturating_mul(3));
        for (place, group) in padded.as_bytes().as_chunks::<3>().0.iter().enumerate() {
            let group = core::str::from_utf8(group).map_err(|_| fmt::Error)?;
            if place.saturating_add(1) == groups { write!(f, "{group}")? } else { write!(f, "x{group}/")? }
        }
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

impl FromStr for Tile {
    type Err = TileError;

    /// Reads a path without a leading slash. There is one spelling of each path.
    fn from_str(path: &str) -> Result<Self, TileError> {
        // The longest path, of an index of 20 digits, is shorter; nothing longer is worth walking.
        if path.len() > 64 {
            return Err(TileError::BadPath);
        }
        let rest = path.strip_prefix("tile/").ok_or(TileError::BadPath)?;
        let (content, rest) = rest.split_once('/').ok_or(TileError::BadPath)?;
        let content = match content {
            "entries" => Content::Entries,
            level => {
                let level =
                    text::parse_decimal(level).filter(|level| *level < 64).ok_or(TileError::BadPath)?;
                Content::Hashes { level: u8::try_from(level).map_err(|_| TileError::BadPath)? }
            }
        };
        let (index, width) = match rest.split_once(".p/") {
            None => (rest, FULL_WIDTH),
            Some((index, width)) => {
                let width = text::parse_decimal(width).and_then(|width| u16::try_from(width).ok());
                (index, width.filter(|width| (1..FULL_WIDTH).contains(width)).ok_or(TileError::BadPath)?)
            }
        };
        Self::new(content, parse_index(index)?, width)
    }
}

fn parse_index(path: &str) -> Result<u64, TileError> {
    let three_digits = |group: &str| group.len() == 3 && group.bytes().all(|b| b.is_ascii_digit());
    let (parents, last) = match path.rsplit_once('/') {
        None => (None, path),
        Some((parents, last)) => (Some(parents), last),
    };
    let mut digits = String::new();
    for parent in parents.into_iter().flat_map(|parents| parents.split('/')) {
        let group = parent.strip_prefix('x').filter(|group| three_digits(group)).ok_or(TileError::BadPath)?;
        // A first group of zeros would be a second spelling.
        if digits.is_empty() && group == "000" {
            return Err(TileError::BadPath);
        }
        digits.push_str(group);
    }
    if !three_digits(last) {
        return Err(TileError::BadPath);
    }
    digits.push_str(last);
    digits.parse().map_err(|_| TileError::Impossible)
}
