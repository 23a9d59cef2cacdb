//! The OpenAPI description: that of each endpoint's file, and what all endpoints have in common.

use serde_json::json;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{HttpMethod, Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{OpenApi, Ref, RefOr, Required, ResponseBuilder};

use super::endpoint::Endpoint;
use super::problem::{self, KINDS};
use super::serve::KEY_BYTES_MAX;
use crate::config::ApiScope;

/// An operation in the description.
pub(super) struct Route {
    pub(super) path: String,
    pub(super) method: HttpMethod,
    pub(super) endpoint: &'static Endpoint,
}

/// Adds what all endpoints have in common: security, problems, and `Idempotency-Key`.
pub(super) fn complete(mut openapi: OpenApi, routes: &[Route]) -> OpenApi {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = openapi.components.get_or_insert_default();
    components.add_security_scheme("key", SecurityScheme::Http(bearer));
    for route in routes {
        let item = openapi.paths.paths.get_mut(&route.path).expect("each endpoint has a path");
        let operation = match route.method {
            HttpMethod::Get => &mut item.get,
            HttpMethod::Delete => &mut item.delete,
            _ => &mut item.post,
        };
        let operation = operation.as_mut().expect("each endpoint has an operation");
        complete_operation(operation, route);
    }
    openapi
}

fn complete_operation(operation: &mut Operation, Route { path, method, endpoint }: &Route) {
    let scope = endpoint.scope.map(ApiScope::as_str);
    operation.operation_id = Some(endpoint.name.into());
    operation.tags = Some(vec![scope.unwrap_or("batch").into()]);
    operation.security = Some(vec![SecurityRequirement::new("key", scope)]);
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && path.contains(&format!("{{{}}}", parameter.name))
        {
            (parameter.parameter_in, parameter.required) = (ParameterIn::Path, Required::True);
        }
    }
    let changes_something = *method != HttpMethod::Get;
    if changes_something {
        let description = "A repeated request with the same key and content gets the same response for ten minutes, from \
                           every node. While Redis is down each node remembers its own requests only";
        let text =
            Object::builder().schema_type(Type::String).min_length(Some(1)).max_length(Some(KEY_BYTES_MAX));
        let parameter = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .description(Some(description))
            .schema(Some(text));
        operation.parameters.get_or_insert_default().push(parameter.build().into());
    }
    for kind in KINDS {
        let is_of_changes = ["in_progress", "body_mismatch", "unknown", "not_stored"].contains(&kind.code);
        let is_of_no_endpoint = ["not_found", "method_not_allowed"].contains(&kind.code);
        let is_of_bodies = kind.code == "too_large";
        let is_of_others = kind.code == "full" && endpoint.name != "revoke";
        if is_of_no_endpoint || is_of_others || ((is_of_changes || is_of_bodies) && !changes_something) {
            continue;
        }
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new().description(kind.title).content(problem::CONTENT_TYPE, problem);
        let responses = &mut operation.responses.responses;
        responses.entry(kind.status.as_str().to_owned()).or_insert_with(|| response.build().into());
    }
}

/// The text of a description, as in `spec/openapi.json`.
pub(super) fn text(openapi: &OpenApi) -> String {
    let mut value = serde_json::to_value(openapi).expect("a description is JSON");
    value["servers"] = json!([{ "url": "/", "description": "The address of `api.listen`" }]);
    serde_json::to_string_pretty(&value).expect("a value is JSON") + "\n"
}
