//! What is in the database, from PostgreSQL's catalog. The statements stand beside this file.

use ferrata_sdk::prelude::*;
use ferrata_sdk::sql::Rows;

use crate::{CATALOG, default_limit};

/// Tables that a `not_found` suggests.
const MAX_SUGGESTIONS: u32 = 5;

/// Lists the schemas of the database that can be used, by name.
#[input]
pub(crate) struct ListSchemas {
    /// How many schemas to return at most.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 1000))]
    limit: u32,
    /// `next` of the page before, to go on.
    #[serde(default)]
    cursor: Option<String>,
}

/// A schema.
#[data]
pub(crate) struct SchemaInfo {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    /// How many tables it has.
    tables: u64,
    /// How many views it has.
    views: u64,
}

pub(crate) fn list_schemas(cx: &Cx<NoSettings>, input: ListSchemas) -> Result<Page<SchemaInfo>, Fault> {
    let query = cx.sql(&CATALOG, include_str!("list_schemas.sql")).bind(input.cursor);
    let rows = query.max_rows(input.limit).run()?;
    page(rows.decode()?, &rows, |schema: &SchemaInfo| schema.name.clone())
}

/// Lists what one schema has, by name: tables and views of every sort; sequences and functions when `kind` asks for them.
#[input]
pub(crate) struct ListObjects {
    /// The schema's name.
    schema: String,
    /// Only objects of this kind.
    #[serde(default)]
    kind: Option<Kind>,
    /// How many objects to return at most.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 1000))]
    limit: u32,
    /// `next` of the page before, to go on.
    #[serde(default)]
    cursor: Option<String>,
}

/// What an object is.
#[data]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Table,
    View,
    MaterializedView,
    ForeignTable,
    Sequence,
    Function,
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::MaterializedView => "materialized_view",
            Self::ForeignTable => "foreign_table",
            Self::Sequence => "sequence",
            Self::Function => "function",
        }
    }
}

/// A table, view or other object.
#[data]
pub(crate) struct Object {
    /// A function's name comes with its arguments.
    name: String,
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    /// About how many rows it has, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_rows: Option<u64>,
    /// Whether this credential may read it, or call it if it is a function.
    readable: bool,
}

pub(crate) fn list_objects(cx: &Cx<NoSettings>, input: ListObjects) -> Result<Page<Object>, Fault> {
    let query = cx.sql(&CATALOG, include_str!("list_objects.sql")).bind(input.schema.as_str());
    let rows =
        query.bind(input.kind.map(|kind| kind.name())).bind(input.cursor).max_rows(input.limit).run()?;
    if rows.is_empty() {
        let message = format!(
            "There is no schema {:?}, or it is not visible. list_schemas names those that are.",
            input.schema
        );
        return Err(Fault::not_found(message).with_path("/schema"));
    }
    // A schema without such objects is one row of nulls, so that it differs from no schema.
    let objects = rows.decode::<Row>()?.into_iter().filter_map(Row::into_object).collect();
    page(objects, &rows, |object: &Object| object.name.clone())
}

#[answer]
pub(crate) struct Row(Option<String>, Option<Kind>, Option<String>, Option<u64>, Option<bool>);

impl Row {
    fn into_object(self) -> Option<Object> {
        let Self(name, kind, comment, estimated_rows, readable) = self;
        Some(Object {
            name: name?,
            kind: kind?,
            comment,
            estimated_rows,
            readable: readable.unwrap_or(false),
        })
    }
}

/// A list that goes on after its last item's name, if there is more.
fn page<T>(items: Vec<T>, rows: &Rows, name: fn(&T) -> String) -> Result<Page<T>, Fault> {
    if rows.is_complete() {
        return Ok(Page::complete(items));
    }
    match items.last().map(name) {
        Some(last) => Ok(Page::new(items, Some(last))),
        None => Err(Fault::schema_mismatch("The database's answer stops before its first row.")),
    }
}

/// Describes one table or view: its columns with types, allowed values and comments, its keys, what refers to it, and its indexes.
#[input]
pub(crate) struct DescribeTable {
    /// The schema's name.
    schema: String,
    /// The table's or view's name, as list_objects spells it.
    table: String,
}

/// A table or view.
#[data]
pub(crate) struct Table {
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    /// About how many rows it has, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_rows: Option<u64>,
    /// Whether this credential may read it.
    readable: bool,
    /// Whether policies hide rows: what can be seen may not be everything.
    row_security: bool,
    columns: Vec<TableColumn>,
    /// Primary key, unique, foreign key and check constraints, in SQL.
    constraints: Vec<String>,
    /// Foreign keys of other tables that refer to this one.
    referenced_by: Vec<String>,
    /// In SQL. A filter that no index serves reads the whole table.
    indexes: Vec<String>,
}

/// A column.
#[data]
pub(crate) struct TableColumn {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    nullable: bool,
    /// The expression of the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<String>,
    /// Whether the database makes the value.
    generated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    /// All values of an enum.
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<String>>,
}

/// A row of `describe_table.sql`: PostgreSQL aggregates nothing to null.
#[answer]
pub(crate) struct TableRow {
    kind: Kind,
    comment: Option<String>,
    estimated_rows: Option<u64>,
    readable: bool,
    row_security: bool,
    columns: Option<Vec<TableColumn>>,
    constraints: Option<Vec<String>>,
    referenced_by: Option<Vec<String>>,
    indexes: Option<Vec<String>>,
}

pub(crate) fn describe_table(cx: &Cx<NoSettings>, input: DescribeTable) -> Result<Table, Fault> {
    let query = cx.sql(&CATALOG, include_str!("describe_table.sql"));
    let rows = query.bind(input.schema.as_str()).bind(input.table.as_str()).max_rows(1).run()?;
    match rows.decode::<TableRow>()?.pop() {
        Some(row) => Ok(row.into_table()),
        None if rows.is_complete() => Err(no_table(cx, &input)?),
        None => Err(Fault::schema_mismatch(
            "The description of the table is too large for the operator's bounds.",
        )),
    }
}

impl TableRow {
    fn into_table(self) -> Table {
        Table {
            kind: self.kind,
            comment: self.comment,
            estimated_rows: self.estimated_rows,
            readable: self.readable,
            row_security: self.row_security,
            columns: self.columns.unwrap_or_default(),
            constraints: self.constraints.unwrap_or_default(),
            referenced_by: self.referenced_by.unwrap_or_default(),
            indexes: self.indexes.unwrap_or_default(),
        }
    }
}

/// `not_found`, with the tables that may have been meant.
fn no_table(cx: &Cx<NoSettings>, input: &DescribeTable) -> Result<Fault, Fault> {
    let DescribeTable { schema, table } = input;
    let query =
        cx.sql(&CATALOG, include_str!("similar_tables.sql")).bind(schema.as_str()).bind(table.as_str());
    let similar: Vec<(String,)> = query.max_rows(MAX_SUGGESTIONS).run()?.decode()?;
    let similar: Vec<String> = similar.into_iter().map(|(name,)| name).collect();
    let mut message = format!("There is no table or view {table:?} in schema {schema:?}.");
    if !similar.is_empty() {
        message.push_str(&format!(" Of a similar name: {}.", similar.join(", ")));
    }
    Ok(Fault::not_found(message).with_path("/table").with_detail("similar", similar))
}
