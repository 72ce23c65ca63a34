//! Pieces of HTML. Whatever comes from a run goes through [`escape`] or [`json`].

use serde::Serialize;
use std::fmt::Write as _;

/// Text that is text and nothing else, between tags and in a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A value for a script element of data, which nothing in it can close.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what is shown is JSON").replace('<', "\\u003c")
}

/// A table: its caption, its head, and rows whose first cell names them.
pub(super) fn table(caption: &str, head: &[impl AsRef<str>], rows: &[Vec<String>]) -> String {
    let mut html = format!(
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table><caption>{0}</caption><thead><tr>",
        escape(caption)
    );
    // Words stand to the left, numbers to the right.
    let is_text = |cell: &String| cell.starts_with(|first: char| first.is_alphabetic() || first == '|');
    for (column, name) in head.iter().enumerate() {
        let class = match rows.first().and_then(|row| row.get(column)) {
            Some(cell) if is_text(cell) => " class=\"text\"",
            _ => "",
        };
        let _ = write!(html, "<th scope=\"col\"{class}>{}</th>", escape(name.as_ref()));
    }
    html += "</tr></thead><tbody>";
    for row in rows {
        html += "<tr>";
        for (column, cell) in row.iter().enumerate() {
            let _ = match column {
                0 => write!(html, "<th scope=\"row\">{}</th>", escape(cell)),
                _ if is_text(cell) => write!(html, "<td class=\"text\">{}</td>", escape(cell)),
                _ => write!(html, "<td>{}</td>", escape(cell)),
            };
        }
        html += "</tr>";
    }
    html + "</tbody></table></div>"
}

/// Names and what they are.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let fact =
        |(name, value): &(&str, String)| format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
    format!("<dl class=\"facts\">{}</dl>", facts.iter().map(fact).collect::<String>())
}

/// A part of a page under a heading.
pub(super) fn section(id: &str, heading: &str, body: &str) -> String {
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{}</h2>{body}</section>",
        escape(heading)
    )
}

/// What is only said, since it cannot be shown.
pub(super) fn absent(why: &str) -> String {
    format!("<p class=\"absent\">{}</p>", escape(why))
}

/// Behind a line that opens it.
pub(super) fn details(id: &str, summary: &str, body: &str) -> String {
    format!("<details id=\"{id}\"><summary>{}</summary>{body}</details>", escape(summary))
}

/// A file's bytes as the address of a picture.
pub(super) fn data_url(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", base64(bytes))
}

/// RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let number = three.iter().enumerate().fold(0u32, |sum, (at, &byte)| sum | u32::from(byte) << (16 - 8 * at));
        for place in 0..4 {
            let letter = LETTERS[(number >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() { letter as char } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_place() {
        let evil = "</script><b a=\"x\" c='y'>&amp;";
        assert_eq!(escape(evil), "&lt;/script&gt;&lt;b a=&quot;x&quot; c=&#39;y&#39;&gt;&amp;amp;");
        let inside = json(&[evil]);
        assert!(!inside.contains('<'));
        assert_eq!(serde_json::from_str::<Vec<String>>(&inside).unwrap(), [evil]);
        let table = table(evil, &[evil], &[vec![evil.to_owned(), evil.to_owned()]]);
        assert_eq!(table.matches(&escape(evil)).count(), 5);
        assert!(!table.contains("<b "));
    }

    /// The vectors of RFC 4648, section 10.
    #[test]
    fn base64_is_that_of_the_standard() {
        let all = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|text| base64(text.as_bytes()));
        assert_eq!(all, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }
}
