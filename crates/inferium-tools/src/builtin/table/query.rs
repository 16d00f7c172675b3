//! Questions to a table.

use super::data::{Data, number};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Rows of an answer, if not asked otherwise.
const ROWS_DEFAULT: usize = 50;

/// Rows of an answer at most.
const ROWS_MAX: usize = 1_000;

/// Places of a mean.
const MEAN_PLACES: u32 = 12;

type Row = Vec<Option<String>>;

/// A question.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    pub(super) path: String,
    #[serde(default)]
    select: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
    #[serde(default)]
    group_by: Vec<String>,
    #[serde(default)]
    aggregate: Vec<Aggregate>,
    #[serde(default)]
    sort: Vec<Sort>,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    column: String,
    op: Op,
    #[serde(default)]
    value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Contains,
    Missing,
    Present,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Aggregate {
    function: Function,
    column: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Function {
    Count,
    Sum,
    Mean,
    Min,
    Max,
    Median,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sort {
    by: String,
    #[serde(default)]
    descending: bool,
}

/// The schema of a question's arguments.
pub(super) fn schema(path: Value) -> Value {
    let columns = |what: &str| json!({"type": "array", "items": {"type": "string"}, "description": what});
    let list = |properties: Value, required: Value, what: &str| {
        let item =
            json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
        json!({"type": "array", "items": item, "description": what})
    };
    let text = json!({"type": "string"});
    let ops = json!({"enum": ["eq", "ne", "lt", "le", "gt", "ge", "contains", "missing", "present"]});
    let functions = json!({"enum": ["count", "sum", "mean", "min", "max", "median"]});
    let value = json!({"type": ["string", "number", "boolean"], "description": "not for missing and present"});
    super::schema(
        &[
            ("path", path),
            ("select", columns("columns of the answer; all if not given; not with group_by or aggregate")),
            (
                "filter",
                list(
                    json!({"column": text, "op": ops, "value": value}),
                    json!(["column", "op"]),
                    "conditions that all hold; a missing value holds for `missing` and `ne` only",
                ),
            ),
            ("group_by", columns("a row of the answer for each combination of their values")),
            (
                "aggregate",
                list(
                    json!({"function": functions, "column": text}),
                    json!(["function"]),
                    "columns of the answer such as sum(amount); count needs no column; missing values are left out",
                ),
            ),
            (
                "sort",
                list(json!({"by": text, "descending": {"type": "boolean"}}), json!(["by"]), "by columns of the answer"),
            ),
            (
                "limit",
                json!({"type": "integer", "minimum": 1, "maximum": ROWS_MAX, "description": "rows, 50 if not given"}),
            ),
        ],
        1,
    )
}

impl Query {
    /// The answer, as CSV and a line about it.
    pub(super) fn run(&self, data: &Data) -> Result<String, String> {
        let limit = self.limit.unwrap_or(ROWS_DEFAULT);
        if !(1..=ROWS_MAX).contains(&limit) {
            return Err(format!("limit is 1 to {ROWS_MAX}"));
        }
        let conditions = self.filter.iter().map(|filter| Condition::new(filter, data));
        let conditions = conditions.collect::<Result<Vec<_>, _>>()?;
        let rows: Vec<&Row> =
            data.rows.iter().filter(|row| conditions.iter().all(|condition| condition.holds(row))).collect();
        let matched = rows.len();
        let mut answer = if self.group_by.is_empty() && self.aggregate.is_empty() {
            self.selected(data, &rows)?
        } else if self.select.is_empty() {
            self.grouped(data, &rows)?
        } else {
            return Err("select goes with neither group_by nor aggregate".to_owned());
        };
        for sort in self.sort.iter().rev() {
            let column = answer.column(&sort.by)?;
            sort_rows(&mut answer.rows, column, sort.descending);
        }
        let found = answer.rows.len();
        answer.rows.truncate(limit);
        let written = written(&answer)?;
        Ok(format!(
            "{written}[{} of {found} rows; {matched} of {} rows of the table match]",
            answer.rows.len(),
            data.rows.len()
        ))
    }

    fn selected(&self, data: &Data, rows: &[&Row]) -> Result<Data, String> {
        let names = if self.select.is_empty() { &data.columns } else { &self.select };
        let columns = names.iter().map(|name| data.column(name)).collect::<Result<Vec<_>, _>>()?;
        let rows = rows.iter().map(|row| columns.iter().map(|column| cell(row, *column).map(str::to_owned)).collect());
        Ok(Data { columns: names.clone(), rows: rows.collect() })
    }

    fn grouped(&self, data: &Data, rows: &[&Row]) -> Result<Data, String> {
        let keys = self.group_by.iter().map(|name| data.column(name)).collect::<Result<Vec<_>, _>>()?;
        let asked = self.aggregate.iter().map(|aggregate| {
            let column = aggregate.column.as_ref().map(|name| data.column(name)).transpose()?;
            if column.is_none() && aggregate.function != Function::Count {
                return Err(format!("{} needs a column", aggregate.function.name()));
            }
            Ok((aggregate.function, column))
        });
        let asked = asked.collect::<Result<Vec<_>, String>>()?;
        let mut groups: BTreeMap<Vec<Option<&str>>, Vec<&Row>> = BTreeMap::new();
        for row in rows {
            groups.entry(keys.iter().map(|key| cell(row, *key)).collect()).or_default().push(row);
        }
        // Of nothing at all there is one count, which is zero.
        if keys.is_empty() && groups.is_empty() {
            groups.insert(Vec::new(), Vec::new());
        }
        let names = self.aggregate.iter().map(|aggregate| match &aggregate.column {
            Some(column) => format!("{}({column})", aggregate.function.name()),
            None => aggregate.function.name().to_owned(),
        });
        let columns = self.group_by.iter().cloned().chain(names).collect();
        let mut answer = Data { columns, rows: Vec::new() };
        for (key, rows) in groups {
            let mut row: Row = key.into_iter().map(|cell| cell.map(str::to_owned)).collect();
            for (function, column) in &asked {
                row.push(function.of(data, *column, &rows)?);
            }
            answer.rows.push(row);
        }
        Ok(answer)
    }
}

impl Function {
    fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Min => "min",
            Self::Max => "max",
            Self::Median => "median",
        }
    }

    /// Of the cells of a column that are there; of rows if there is no column.
    fn of(self, data: &Data, column: Option<usize>, rows: &[&Row]) -> Result<Option<String>, String> {
        let Some(column) = column else { return Ok(Some(rows.len().to_string())) };
        let cells: Vec<&str> = rows.iter().filter_map(|row| cell(row, column)).collect();
        if self == Self::Count {
            return Ok(Some(cells.len().to_string()));
        }
        if matches!(self, Self::Min | Self::Max) {
            let order = |a: &&&str, b: &&&str| compare(a, b);
            let end = if self == Self::Min { cells.iter().min_by(order) } else { cells.iter().max_by(order) };
            return Ok(end.map(|cell| (*cell).to_owned()));
        }
        let numbers = cells.iter().map(|cell| {
            let name = data.columns.get(column).map(String::as_str).unwrap_or_default();
            number(cell).ok_or_else(|| format!("{} of {name:?}: {cell:?} is no number", self.name()))
        });
        let mut numbers = numbers.collect::<Result<Vec<Decimal>, _>>()?;
        numbers.sort();
        let figure = match self {
            _ if numbers.is_empty() => return Ok(None),
            Self::Sum => sum(&numbers)?,
            Self::Mean => mean(&numbers)?,
            _ => median(&numbers)?,
        };
        Ok(Some(in_words(figure)))
    }
}

fn sum(numbers: &[Decimal]) -> Result<Decimal, String> {
    let too_large = || "the sum has more than 28 digits".to_owned();
    numbers.iter().try_fold(Decimal::ZERO, |sum, number| sum.checked_add(*number)).ok_or_else(too_large)
}

/// The mean, rounded; zero of nothing.
pub(super) fn mean(numbers: &[Decimal]) -> Result<Decimal, String> {
    let mean = sum(numbers)?.checked_div(Decimal::from(numbers.len()));
    Ok(mean.unwrap_or_default().round_dp(MEAN_PLACES))
}

/// Of sorted numbers; between the two in the middle.
fn median(numbers: &[Decimal]) -> Result<Decimal, String> {
    let middle = numbers.len() / 2;
    let low = if numbers.len().is_multiple_of(2) { middle.saturating_sub(1) } else { middle };
    mean(numbers.get(low..=middle).unwrap_or_default())
}

/// A figure as people write it.
pub(super) fn in_words(figure: Decimal) -> String {
    figure.normalize().to_string()
}

fn cell(row: &Row, column: usize) -> Option<&str> {
    row.get(column).and_then(Option::as_deref)
}

/// Numbers by their value, else texts.
fn compare(a: &str, b: &str) -> Ordering {
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        // So that an order of both is one.
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// Missing cells are last in both directions.
fn sort_rows(rows: &mut [Row], column: usize, descending: bool) {
    rows.sort_by(|a, b| match (cell(a, column), cell(b, column)) {
        (Some(a), Some(b)) if descending => compare(b, a),
        (Some(a), Some(b)) => compare(a, b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
}

/// A filter whose column and value were looked up.
struct Condition {
    column: usize,
    op: Op,
    value: String,
}

impl Condition {
    fn new(filter: &Filter, data: &Data) -> Result<Self, String> {
        let value = match &filter.value {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Null if matches!(filter.op, Op::Missing | Op::Present) => String::new(),
            _ => return Err(format!("filter of {:?}: value is a text, a number, true or false", filter.column)),
        };
        Ok(Self { column: data.column(&filter.column)?, op: filter.op, value })
    }

    fn holds(&self, row: &Row) -> bool {
        let Some(cell) = cell(row, self.column) else { return matches!(self.op, Op::Missing | Op::Ne) };
        match self.op {
            Op::Missing => false,
            Op::Present => true,
            Op::Contains => cell.to_lowercase().contains(&self.value.to_lowercase()),
            Op::Eq => compare(cell, &self.value).is_eq(),
            Op::Ne => compare(cell, &self.value).is_ne(),
            Op::Lt => compare(cell, &self.value).is_lt(),
            Op::Le => compare(cell, &self.value).is_le(),
            Op::Gt => compare(cell, &self.value).is_gt(),
            Op::Ge => compare(cell, &self.value).is_ge(),
        }
    }
}

fn written(data: &Data) -> Result<String, String> {
    let wrong = |error: csv::Error| error.to_string();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&data.columns).map_err(wrong)?;
    for row in &data.rows {
        writer.write_record(row.iter().map(|cell| cell.as_deref().unwrap_or_default())).map_err(wrong)?;
    }
    let bytes = writer.into_inner().map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}
