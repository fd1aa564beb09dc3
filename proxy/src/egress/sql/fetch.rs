//! Rows from an open portal: fetched in chunks, written to JSON one by one, counted, and stopped at a cap.
//!
//! What is beyond a cap stays in the server, except for the rest of the chunk in which a cap was met: that is read and
//! thrown away up to [`MAX_DISCARDED_BYTES`], and beyond it the session is given up.

use std::pin::{Pin, pin};

use futures_util::TryStreamExt;
use tokio_postgres::{Portal, Row, RowStream, Statement, Transaction};

use super::decode::{self, Json, Raw, Stop};
use super::fault::Health;
use super::statement;
use super::types::{Column, Query, Rows, StoppedBy};
use crate::fault::{Fault, FaultKind, Outcome};

/// Rows of the first chunk, while nobody knows how large they are: most answers end in it.
const FIRST_CHUNK_ROWS: u32 = 64;

/// Most rows of a chunk. More would save no noticeable time.
const MAX_CHUNK_ROWS: u32 = 10_000;

/// Bytes that are read only to keep a session; a new session costs about as much.
const MAX_DISCARDED_BYTES: usize = 1 << 20;

/// Where an answer ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    rows: u32,
    rows_stop: StoppedBy,
    bytes: usize,
}

impl Caps {
    /// The lower of what is asked for and what the operator allows.
    pub(super) fn new(query: &Query, max_rows: u32, max_bytes: usize) -> Self {
        let asked = query.max_rows <= max_rows;
        let rows_stop = if asked { StoppedBy::MaxRows } else { StoppedBy::RowCap };
        Self { rows: query.max_rows.min(max_rows), rows_stop, bytes: max_bytes }
    }
}

/// Why fetching ended without an answer.
pub(super) enum Ended {
    Driver(tokio_postgres::Error),
    /// A fault of the answer; the health is the session's.
    Fault(Fault, Health),
}

impl From<tokio_postgres::Error> for Ended {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Driver(error)
    }
}

/// Refuses columns that could not be written, before anything runs.
pub(super) fn check_columns(columns: &[tokio_postgres::Column]) -> Result<(), Fault> {
    match columns.iter().find(|column| !decode::is_supported(column.type_())) {
        Some(column) => Err(unwritable(column, FaultKind::InvalidArguments)),
        None => Ok(()),
    }
}

fn unwritable(column: &tokio_postgres::Column, kind: FaultKind) -> Fault {
    let message = format!(
        "Column \"{}\" has values of type {} that cannot be written as JSON: cast it to text.",
        column.name(),
        column.type_()
    );
    Fault::new(kind, message).with_code("unsupported_type").with_path(statement::PATH)
}

/// Fetches until the end or a cap. The health is the session's: a chunk too large to finish costs it.
pub(super) async fn fetch(
    door: &Transaction<'_>,
    portal: &Portal,
    statement: &Statement,
    caps: Caps,
) -> Result<(Rows, Health), Ended> {
    let mut page = Page::new(statement, caps);
    loop {
        let mut stream = pin!(door.query_portal_raw(portal, page.next_chunk()).await?);
        while let Some(row) = stream.try_next().await? {
            match page.push(&row) {
                Ok(true) => {}
                Ok(false) => {
                    let health = discard(stream).await?;
                    return page
                        .into_rows(None)
                        .map(|rows| (rows, health))
                        .map_err(|f| Ended::Fault(f, health));
                }
                Err(fault) => return Err(Ended::Fault(fault, discard(stream).await?)),
            }
        }
        // Only a statement that has come to its end says how many rows it was.
        if let Some(affected) = stream.rows_affected() {
            let rows = page.into_rows(Some(affected)).map_err(|fault| Ended::Fault(fault, Health::Good))?;
            return Ok((rows, Health::Good));
        }
    }
}

/// Reads the rest of a chunk.
async fn discard(mut stream: Pin<&mut RowStream>) -> Result<Health, tokio_postgres::Error> {
    let mut left = MAX_DISCARDED_BYTES;
    while let Some(row) = stream.try_next().await? {
        match left.checked_sub(row.raw_size_bytes()) {
            Some(rest) => left = rest,
            None => return Ok(Health::Broken),
        }
    }
    Ok(Health::Good)
}

/// The answer so far.
struct Page<'a> {
    columns: &'a [tokio_postgres::Column],
    caps: Caps,
    json: Json,
    count: u32,
    stopped_by: Option<StoppedBy>,
}

impl<'a> Page<'a> {
    fn new(statement: &'a Statement, caps: Caps) -> Self {
        // The brackets around the rows are added at the end.
        let json = Json::new(caps.bytes - "[]".len());
        Self { columns: statement.columns(), caps, json, count: 0, stopped_by: None }
    }

    /// How many rows to ask for next: one more than may be kept, to see whether there are more; fewer when the byte cap
    /// will be met first.
    fn next_chunk(&self) -> i32 {
        let by_rows = (self.caps.rows - self.count).saturating_add(1);
        let by_bytes = if self.count == 0 {
            FIRST_CHUNK_ROWS
        } else {
            let (written, count) = (self.json.len().max(1), self.count as usize);
            let left = self.caps.bytes.saturating_sub(written);
            u32::try_from(left * count / written + 1).unwrap_or(MAX_CHUNK_ROWS)
        };
        by_rows.min(by_bytes.clamp(FIRST_CHUNK_ROWS, MAX_CHUNK_ROWS)).cast_signed()
    }

    /// Whether there is room for more.
    fn push(&mut self, row: &Row) -> Result<bool, Fault> {
        if self.count == self.caps.rows {
            self.stopped_by = Some(self.caps.rows_stop);
            return Ok(false);
        }
        let before = self.json.len();
        match self.write(row) {
            Ok(()) => self.count += 1,
            Err((Stop::Full, _)) if self.count == 0 => return Err(self.row_too_large()),
            Err((Stop::Full, _)) => {
                self.json.truncate(before);
                self.stopped_by = Some(StoppedBy::ByteCap);
            }
            Err((Stop::Unsupported | Stop::Malformed, column)) => {
                return Err(column.map_or_else(not_utf8, |c| unwritable(c, FaultKind::InvalidArguments)));
            }
        }
        Ok(self.stopped_by.is_none())
    }

    /// On failure, the column that it was.
    fn write(&mut self, row: &Row) -> Result<(), (Stop, Option<&'a tokio_postgres::Column>)> {
        let json = &mut self.json;
        json.raw(if self.count == 0 { "[" } else { ",[" }).map_err(|stop| (stop, None))?;
        for (index, column) in self.columns.iter().enumerate() {
            let at = |stop| (stop, Some(column));
            if index > 0 {
                json.raw(",").map_err(at)?;
            }
            let raw = row.try_get::<_, Option<Raw<'_>>>(index).map_err(|_| at(Stop::Malformed))?;
            decode::write(column.type_(), raw.map(|Raw(bytes)| bytes), json).map_err(at)?;
        }
        json.raw("]").map_err(|stop| (stop, None))
    }

    fn row_too_large(&self) -> Fault {
        let message = format!(
            "The first row alone is larger than the {} bytes that the operator allows: select fewer or shorter columns.",
            self.caps.bytes
        );
        Fault::new(FaultKind::Rejected, message).with_code("row_too_large").with_outcome(Outcome::Rejected)
    }

    fn into_rows(self, affected: Option<u64>) -> Result<Rows, Fault> {
        let columns: Vec<Column> = self.columns.iter().map(column_of).collect();
        let affected = affected.filter(|_| columns.is_empty());
        let rows = format!("[{}]", self.json.into_string().map_err(|_| not_utf8())?);
        Ok(Rows {
            columns,
            rows,
            row_count: self.count,
            stopped_by: self.stopped_by,
            affected,
            estimated_cost: None,
        })
    }
}

fn column_of(column: &tokio_postgres::Column) -> Column {
    Column { name: column.name().to_owned(), type_name: decode::type_name(column.type_()) }
}

fn not_utf8() -> Fault {
    Fault::internal("rows were written that are not UTF-8")
}
