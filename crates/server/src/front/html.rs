//! HTML that text can enter only escaped.

/// A piece of HTML. It consists of templates of the program and of escaped text.
#[derive(Debug, Clone, Default)]
pub(super) struct Html(String);

impl Html {
    /// HTML that is part of the program.
    pub(super) fn of(html: &'static str) -> Self {
        Html(html.to_owned())
    }

    /// Escapes text, for content and for attributes in quotes.
    pub(super) fn text(text: impl AsRef<str>) -> Self {
        let mut html = String::with_capacity(text.as_ref().len());
        for character in text.as_ref().chars() {
            match character {
                '&' => html.push_str("&amp;"),
                '<' => html.push_str("&lt;"),
                '>' => html.push_str("&gt;"),
                '"' => html.push_str("&quot;"),
                '\'' => html.push_str("&#39;"),
                other => html.push(other),
            }
        }
        Html(html)
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

impl FromIterator<Html> for Html {
    fn from_iter<T: IntoIterator<Item = Html>>(pieces: T) -> Self {
        Html(pieces.into_iter().map(|piece| piece.0).collect())
    }
}

/// Replaces each `{{name}}` in a template. Values are not searched for names.
///
/// # Panics
/// If the template has a name without a value; each template is rendered by a test.
pub(super) fn fill(template: &'static str, values: &[(&str, Html)]) -> Html {
    let mut html = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").expect("a name in a template ends");
        let value = values.iter().find(|(given, _)| *given == name);
        html.push_str(before);
        html.push_str(&value.unwrap_or_else(|| panic!("`{name}` has no value")).1.0);
        rest = after;
    }
    html.push_str(rest);
    Html(html)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_neither_an_element_nor_an_attribute_nor_a_placeholder() {
        let text = Html::text("<b onclick=\"x\" a='&amp;'>{{b}}</b>");
        let html = fill("<p title=\"{{a}}\">{{b}}</p>", &[("a", text), ("b", Html::of("<i>b</i>"))]);
        let expected =
            "<p title=\"&lt;b onclick=&quot;x&quot; a=&#39;&amp;amp;&#39;&gt;{{b}}&lt;/b&gt;\"><i>b</i></p>";
        assert_eq!(html.into_string(), expected);
    }
}
