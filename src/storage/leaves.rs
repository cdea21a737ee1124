//! Leaves with their entries, many at once, as bytes: whoever checks a log reads all of it, and a row of the driver's would
//! take longer than its hash.

use futures_util::TryStreamExt as _;
use sqlx::postgres::PgPoolCopyExt as _;

use super::{Error, Storage, error::Doing as _};

const DOING: &str = "reading the log's leaves";
/// What a binary copy begins with, and how long its header is: PostgreSQL's manual, COPY, "Binary Format".
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
const FLAGS: usize = 4;
/// What stands before each row, and after the last.
const COLUMNS: i16 = 7;
const END: i16 = -1;

/// A leaf with its entry, as the rows have them. What is `None` is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafRow<'a> {
    /// The leaf's index.
    pub index: u64,
    /// The entry's identifier, as the leaf has it: a UUID's number.
    pub id: u128,
    /// The leaf's hash.
    pub hash: &'a [u8],
    /// The entry's bytes.
    pub body: Option<&'a str>,
    /// What the entry's columns repeat of its body.
    pub kind: Option<&'a str>,
    /// The request, as the column has it.
    pub request: Option<i64>,
    /// The room, as the column has it.
    pub room: Option<&'a str>,
}

/// Some leaves in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaves(Vec<u8>);

impl Storage {
    /// At most this many leaves from this index on, below `end`, in order.
    pub async fn leaves(&self, from: u64, end: u64, limit: i64) -> Result<Leaves, Error> {
        // A copy takes no parameters: these are numbers, and nothing else can be in them.
        let log = self.log.map_or("(SELECT max(number) FROM logs)".to_owned(), |log| log.to_string());
        let statement = format!(
            "COPY (
                SELECT l.index, l.entry_id, l.hash, e.body, e.kind, e.request, e.room_id
                FROM leaves l LEFT JOIN entries e ON e.id = l.entry_id
                WHERE l.log = {log} AND l.index >= {from} AND l.index < {end}
                ORDER BY l.index LIMIT {limit}
            ) TO STDOUT (FORMAT binary)",
        );
        let mut pieces = self.pool().copy_out_raw(&statement).await.doing(DOING)?;
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.try_next().await.doing(DOING)? {
            bytes.extend_from_slice(&piece);
        }
        let header = bytes.strip_prefix(SIGNATURE).and_then(|rest| rest.split_at_checked(FLAGS));
        let (_, rest) = header.ok_or_else(unreadable)?;
        let (extension, rest) = length(rest).ok_or_else(unreadable)?;
        let rows = rest.get(extension.unwrap_or(0)..).ok_or_else(unreadable)?;
        let before = bytes.len() - rows.len();
        bytes.drain(..before);
        Ok(Leaves(bytes))
    }
}

impl Leaves {
    /// One after the other.
    ///
    /// # Errors
    ///
    /// [`Error::Unreadable`] where a row is not of the shape that was asked for.
    pub fn iter(&self) -> impl Iterator<Item = Result<LeafRow<'_>, Error>> {
        let mut rest = Some(self.0.as_slice());
        std::iter::from_fn(move || {
            let read = match rest?.split_first_chunk() {
                Some((count, row)) if i16::from_be_bytes(*count) == COLUMNS => leaf(row),
                Some((count, _)) if i16::from_be_bytes(*count) == END => return None,
                _ => None,
            };
            rest = read.map(|(_, rest)| rest);
            Some(read.map(|(leaf, _)| leaf).ok_or_else(unreadable))
        })
    }
}

fn unreadable() -> Error {
    Error::Unreadable {
        what: "a leaf",
        reason: "PostgreSQL wrote it in another format than asked".to_owned(),
    }
}

fn leaf(row: &[u8]) -> Option<(LeafRow<'_>, &[u8])> {
    let (index, row) = column(row)?;
    let (id, row) = column(row)?;
    let (hash, row) = column(row)?;
    let (body, row) = text(row)?;
    let (kind, row) = text(row)?;
    let (request, row) = column(row)?;
    let (room, row) = text(row)?;
    let request = match request {
        Some(bytes) => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
        None => None,
    };
    let index = u64::from_be_bytes(index?.try_into().ok()?);
    let id = u128::from_be_bytes(id?.try_into().ok()?);
    Some((LeafRow { index, id, hash: hash?, body, kind, request, room }, row))
}

/// A length of four bytes, which is minus one for what is null.
fn length(row: &[u8]) -> Option<(Option<usize>, &[u8])> {
    let (length, row) = row.split_first_chunk::<4>()?;
    let length = i32::from_be_bytes(*length);
    if length == -1 { Some((None, row)) } else { Some((Some(usize::try_from(length).ok()?), row)) }
}

fn column(row: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    match length(row)? {
        (None, row) => Some((None, row)),
        (Some(length), row) => row.split_at_checked(length).map(|(value, row)| (Some(value), row)),
    }
}

fn text(row: &[u8]) -> Option<(Option<&str>, &[u8])> {
    let (value, row) = column(row)?;
    match value {
        Some(bytes) => Some((Some(std::str::from_utf8(bytes).ok()?), row)),
        None => Some((None, row)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_cut_off_anywhere_is_an_error_and_no_panic() {
        let mut row = vec![0, 7];
        for value in [&8_u64.to_be_bytes()[..], &9_u128.to_be_bytes(), &[7; 32], b"{}", b"a.b"] {
            row.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
            row.extend(value);
        }
        row.extend([255; 8]);
        let whole = Leaves([row.as_slice(), &END.to_be_bytes()].concat());
        let read: Vec<_> = whole.iter().map(Result::unwrap).collect();
        let hash = [7; 32];
        assert_eq!(
            read,
            [LeafRow {
                index: 8,
                id: 9,
                hash: &hash,
                body: Some("{}"),
                kind: Some("a.b"),
                request: None,
                room: None
            }]
        );
        for end in 0..row.len() {
            let cut = Leaves(row[..end].to_vec());
            let read: Vec<_> = cut.iter().collect();
            assert!(matches!(read.as_slice(), [Err(_)]), "{end}");
        }
    }
}
