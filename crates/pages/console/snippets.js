// Code that makes a call of the HTTP API. Values enter it as JSON, quoted for the language.

const pretty = (body) => JSON.stringify(body, null, 2);

/** For a POSIX shell: within single quotes only the quote itself is special. */
const shellQuote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export const curl = (url, body) => `curl ${shellQuote(url)} \\
  -H "Authorization: Bearer $KEY" \\
  -H 'Content-Type: application/json' \\
  -d ${shellQuote(JSON.stringify(body))}`;

export const typescript = (kind, url, body) => `const answer = await fetch(${JSON.stringify(url)}, {
  method: "POST",
  headers: { authorization: \`Bearer \${process.env.KEY}\`, "content-type": "application/json" },
  body: JSON.stringify(${pretty(body)}),
});
const ${kind === "send" ? "sent" : "{ replies }"} = await answer.json();`;

/** A JSON document is a string of Python without escapes of its own. */
export const python = (url, body) => `import json, os, urllib.request

request = urllib.request.Request(
    ${JSON.stringify(url)},
    data=json.dumps(json.loads(r'''${JSON.stringify(body).replaceAll("'", "\\u0027")}''')).encode(),
    headers={"Authorization": "Bearer " + os.environ["KEY"], "Content-Type": "application/json"},
)
print(json.load(urllib.request.urlopen(request)))`;
