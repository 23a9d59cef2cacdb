//! `docs/reference/http-api-examples.md`: a request to each endpoint in four languages, from the examples of the description.

use std::fmt::Write;

use serde_json::Value;

/// The address in the examples.
const ADDRESS: &str = "http://127.0.0.1:4001";

/// A request to an endpoint.
struct Example {
    method: String,
    path: String,
    body: Option<String>,
}

/// The page, from the text of the description.
pub(super) fn page(description: &str) -> String {
    let description: Value = serde_json::from_str(description).expect("it is JSON");
    let mut text = "<!-- Generated from the examples of the description by a test; see CONTRIBUTING.md. Do not edit. -->\n\n\
                    # Requests to the HTTP API\n\nEvery endpoint with an example in curl, Python (standard library), Go and PHP. `KEY` is a \
                    key of the API. [The HTTP API](../guides/http-api.md) explains the calls, and [openapi.json](../../spec/openapi.json) \
                    describes all members.\n"
        .to_owned();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let (name, summary) = (&operation["operationId"], &operation["summary"]);
            let (name, summary) = (name.as_str().expect("a name"), summary.as_str().expect("a summary"));
            let example = Example::new(path, method, operation);
            let blocks = [
                ("sh", example.curl()),
                ("python", example.python()),
                ("go", example.go()),
                ("php", example.php()),
            ];
            write!(text, "\n## {name}\n\n`{} {path}`: {summary}\n", method.to_uppercase())
                .expect("a String accepts all text");
            for (language, block) in blocks {
                write!(text, "\n```{language}\n{block}```\n").expect("a String accepts all text");
            }
        }
    }
    text
}

impl Example {
    fn new(path: &str, method: &str, operation: &Value) -> Self {
        let mut path = path.to_owned();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if let (Some("path"), Some(example)) = (parameter["in"].as_str(), parameter["example"].as_str()) {
                let name = parameter["name"].as_str().expect("a name");
                path = path.replace(&format!("{{{name}}}"), example);
            }
        }
        let body = &operation["requestBody"]["content"]["application/json"]["example"];
        Example { method: method.to_uppercase(), path, body: (!body.is_null()).then(|| body.to_string()) }
    }

    fn curl(&self) -> String {
        let Example { method, path, body } = self;
        let method = if method == "DELETE" { " -X DELETE" } else { "" };
        let body = body.as_ref().map(|body| format!(" \\\n  -d '{body}'")).unwrap_or_default();
        format!("curl{method} {ADDRESS}{path} -H \"Authorization: Bearer $KEY\"{body}\n")
    }

    fn python(&self) -> String {
        let Example { method, path, body } = self;
        let data = body.as_ref().map(|body| format!("\n    data=b'{body}',")).unwrap_or_default();
        format!(
            "import json, os, urllib.request\n\nrequest = urllib.request.Request(\n    \"{ADDRESS}{path}\",\n    method=\"{method}\",{data}\n    \
             headers={{\"Authorization\": \"Bearer \" + os.environ[\"KEY\"]}},\n)\nprint(json.load(urllib.request.urlopen(request)))\n"
        )
    }

    fn go(&self) -> String {
        let Example { method, path, body } = self;
        let body = body.as_ref().map_or("nil".to_owned(), |body| format!("strings.NewReader(`{body}`)"));
        format!(
            "request, _ := http.NewRequest(\"{method}\", \"{ADDRESS}{path}\", {body})\n\
             request.Header.Set(\"Authorization\", \"Bearer \"+os.Getenv(\"KEY\"))\nresponse, err := http.DefaultClient.Do(request)\n"
        )
    }

    fn php(&self) -> String {
        let Example { method, path, body } = self;
        let content = body.as_ref().map(|body| format!("\n    'content' => '{body}',")).unwrap_or_default();
        format!(
            "$context = stream_context_create(['http' => [\n    'method' => '{method}',\n    \
             'header' => 'Authorization: Bearer ' . getenv('KEY'),{content}\n]]);\n\
             echo file_get_contents('{ADDRESS}{path}', false, $context);\n"
        )
    }
}
