//! The frame of an HTML report: one file, no script, nothing loaded from elsewhere, light or dark as the reader
//! likes it.

/// A whole document.
pub(crate) fn document(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
    )
}

/// Text that may stand in HTML and XML, in an attribute too.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // XML has no way to write other control characters.
            control if control.is_control() && control != '\n' => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}

/// A table; cells are escaped, all columns but the first are set to the right.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |tag: &str, cells: &mut dyn Iterator<Item = &str>| -> String {
        let cells = cells.map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let head = cells("th", &mut head.iter().copied());
    let rows = rows
        .iter()
        .map(|row| cells("td", &mut row.iter().map(String::as_str)));
    format!(
        "<div class=\"wide\"><table>\n<thead>{head}</thead>\n<tbody>{}</tbody></table></div>\n",
        rows.collect::<String>()
    )
}

const STYLE: &str = "
:root { --back: #fff; --fore: #1c2024; --dim: #5b6570; --grid: #dfe3e8; --span: #f3f5f8;
  --c0: #0b66c3; --c1: #b45309; --c2: #15803d; --c3: #a21caf; --c4: #b91c1c; --good: #15803d; --bad: #b91c1c; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171a; --fore: #e6e9ec; --dim: #9aa5b1; --grid: #2c333a; --span: #1b2025;
    --c0: #6cb4ff; --c1: #f5b95f; --c2: #5fd38a; --c3: #e59bf0; --c4: #ff8f8f; --good: #5fd38a; --bad: #ff8f8f; } }
body { background: var(--back); color: var(--fore); font: 15px/1.5 system-ui, sans-serif; max-width: 900px;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .3rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.verdict { font-weight: 600; } .good { color: var(--good); } .bad { color: var(--bad); } .dim { color: var(--dim); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--grid); text-align: right; }
th:first-child, td:first-child { text-align: left; } th { color: var(--dim); font-weight: 500; }
figure { margin: 1.4rem 0; } figcaption { font-weight: 600; margin-bottom: .2rem; }
svg { width: 100%; height: auto; } svg text { fill: var(--dim); font-size: 12px; }
svg .y { text-anchor: end; } svg .x, svg .stage { text-anchor: middle; } svg .legend { fill: var(--fore); }
.grid { stroke: var(--grid); } .span { fill: none; } .s0 { fill: var(--span); }
.limit { stroke: var(--bad); stroke-dasharray: 6 4; } .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.l0 { stroke: var(--c0); } .l1 { stroke: var(--c1); } .l2 { stroke: var(--c2); } .l3 { stroke: var(--c3); }
.l4 { stroke: var(--c4); }
pre { background: var(--span); padding: .8rem; overflow-x: auto; font-size: 13px; }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(
            escape("<a b='\"'>&\u{7}"),
            "&lt;a b=&#39;&quot;&#39;&gt;&amp; "
        );
    }

    #[test]
    fn a_page_loads_nothing() {
        let page = document("title", &table(&["a"], &[vec!["1".to_owned()]]));
        for word in ["http:", "https:", "<script", "@import", "url("] {
            assert!(!page.contains(word), "{word}");
        }
    }
}
