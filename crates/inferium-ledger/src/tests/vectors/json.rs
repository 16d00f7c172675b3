//! A JSON document that looks the same whatever is compiled along: order as written, one line for
//! what fits, integers of more than 32 bits as decimal strings, so that no reader rounds them.

use inferium_types::{AgentId, Amount, Digest, JobId, LeaseId, Ppm, ProfileId, PublicKey, SegmentId, StallId, TaskId};
use std::fmt::Write as _;

/// Columns up to which a list or an object stays on its line.
const WIDTH: usize = 110;
/// Depth from which everything does: entries of the state.
const INLINE_FROM: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(i64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(super) fn object<K: ToString, I: IntoIterator<Item = (K, Json)>>(fields: I) -> Self {
        Self::Object(fields.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
    }

    /// The document, with a line end.
    pub(super) fn document(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out.push('\n');
        out
    }

    fn write(&self, out: &mut String, depth: usize) {
        let inline = self.inline();
        let (open, close, items): (char, char, Vec<(Option<&str>, &Self)>) = match self {
            Self::List(items) => ('[', ']', items.iter().map(|item| (None, item)).collect()),
            Self::Object(fields) => {
                ('{', '}', fields.iter().map(|(name, value)| (Some(name.as_str()), value)).collect())
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => return out.push_str(&inline),
        };
        if items.is_empty() || depth >= INLINE_FROM || inline.len() <= WIDTH {
            return out.push_str(&inline);
        }
        out.push(open);
        for (index, (name, item)) in items.iter().enumerate() {
            out.push_str(if index == 0 { "\n" } else { ",\n" });
            out.extend(std::iter::repeat_n("  ", depth + 1));
            if let Some(name) = name {
                write!(out, "{}: ", quoted(name)).unwrap();
            }
            item.write(out, depth + 1);
        }
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
        out.push(close);
    }

    fn inline(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(is) => is.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => quoted(text),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::inline).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Object(fields) => {
                let fields: Vec<String> =
                    fields.iter().map(|(name, value)| format!("{}: {}", quoted(name), value.inline())).collect();
                format!("{{{}}}", fields.join(", "))
            }
        }
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if u32::from(c) < 0x20 => write!(out, "\\u{:04x}", u32::from(c)).unwrap(),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `WrongResult` as `wrong_result`.
pub(super) fn snake(name: &str) -> String {
    let mut out = String::new();
    for (index, c) in name.chars().enumerate() {
        if c.is_uppercase() && index > 0 {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

/// How a value stands in a vector.
pub(super) trait View {
    fn view(&self) -> Json;
}

/// Views of structs by their fields, of enums by the names of their variants (`words`), or by name
/// and fields (`enum`). They take values apart completely: a field that is new and not named here
/// does not compile.
macro_rules! views {
    ($(struct $type:ident { $($field:ident),* $(,)? })*) => {$(
        impl View for $type {
            fn view(&self) -> Json {
                let Self { $($field),* } = self;
                Json::object([$((stringify!($field), $field.view())),*])
            }
        }
    )*};
    ($(words $type:ident { $($variant:ident),* $(,)? })*) => {$(
        impl View for $type {
            fn view(&self) -> Json {
                let name = match self { $(Self::$variant => stringify!($variant)),* };
                Json::Text(snake(name))
            }
        }
    )*};
    ($(enum $type:ident { $($variant:ident $({ $($field:ident),* })?),* $(,)? })*) => {$(
        impl View for $type {
            fn view(&self) -> Json {
                match self {$(
                    Self::$variant $({ $($field),* })? => Json::object([
                        ("kind", Json::Text(snake(stringify!($variant)))),
                        $($((stringify!($field), $field.view())),*)?
                    ]),
                )*}
            }
        }
    )*};
}
pub(super) use views;

macro_rules! simple_views {
    (text: $($text:ty),*; wide: $($wide:ty),*; narrow: $($narrow:ty),*) => {
        $(impl View for $text { fn view(&self) -> Json { Json::Text(self.to_string()) } })*
        $(impl View for $wide { fn view(&self) -> Json { Json::Text(self.to_string()) } })*
        $(impl View for $narrow { fn view(&self) -> Json { Json::Number(i64::from(*self)) } })*
    };
}

simple_views! {
    text: String, &str, Digest, PublicKey, ProfileId, TaskId, LeaseId, SegmentId, StallId, JobId, AgentId;
    wide: u64, u128, i64, i16, usize;
    narrow: u32, u16, u8, i32
}

impl View for bool {
    fn view(&self) -> Json {
        Json::Bool(*self)
    }
}

impl View for Amount {
    fn view(&self) -> Json {
        self.nano().view()
    }
}

impl View for Ppm {
    fn view(&self) -> Json {
        self.get().view()
    }
}

impl<T: View> View for Option<T> {
    fn view(&self) -> Json {
        self.as_ref().map_or(Json::Null, View::view)
    }
}

impl<T: View> View for Vec<T> {
    fn view(&self) -> Json {
        Json::List(self.iter().map(View::view).collect())
    }
}

impl<T: View, const N: usize> View for [T; N] {
    fn view(&self) -> Json {
        Json::List(self.iter().map(View::view).collect())
    }
}

impl<A: View, B: View> View for (A, B) {
    fn view(&self) -> Json {
        Json::List(vec![self.0.view(), self.1.view()])
    }
}

impl<A: View, B: View, C: View> View for (A, B, C) {
    fn view(&self) -> Json {
        Json::List(vec![self.0.view(), self.1.view(), self.2.view()])
    }
}
