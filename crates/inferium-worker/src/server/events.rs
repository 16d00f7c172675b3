//! Server-sent events, as far as chat APIs use them: the data of each event.

use super::ServerError;

/// The longest line; bytes. A line holds one piece of an answer.
const LINE_MAX: usize = 1 << 20;

/// Bytes in, the data of events out.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Option<String>,
    /// The last byte was a carriage return, whose line feed is no line of its own.
    after_return: bool,
}

impl Events {
    /// The data of the events that these bytes end, in order.
    ///
    /// # Errors
    /// [`ServerError::Broken`]: a line without end, or one that is no text.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, ServerError> {
        let mut ended = Vec::new();
        for &byte in bytes {
            let follows_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if follows_return => {}
                b'\n' | b'\r' => ended.extend(self.end_line()?),
                _ if self.line.len() >= LINE_MAX => return Err(ServerError::Broken { what: "a line without end" }),
                _ => self.line.push(byte),
            }
        }
        Ok(ended)
    }

    /// An empty line ends an event; comments and fields other than data mean nothing here.
    fn end_line(&mut self) -> Result<Option<String>, ServerError> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return Ok(self.data.take());
        }
        let line = std::str::from_utf8(&line).map_err(|_| ServerError::Broken { what: "not UTF-8" })?;
        let Some(value) = line.strip_prefix("data:") else { return Ok(None) };
        let value = value.strip_prefix(' ').unwrap_or(value);
        match &mut self.data {
            Some(data) if data.len().saturating_add(value.len()) > LINE_MAX => {
                return Err(ServerError::Broken { what: "an event without end" });
            }
            Some(data) => {
                data.push('\n');
                data.push_str(value);
            }
            None => self.data = Some(value.to_owned()),
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
