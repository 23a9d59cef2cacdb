//! Mistakes that the text of a signature shows, such as a missing `async`.

use proc_macro2::TokenStream;
use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, Result, ReturnType, Type};

/// Most arguments of a handler.
const ARGUMENTS_MAX: usize = 8;

/// The role of a function.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Handler,
    Middleware,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Handler => "handler",
            Role::Middleware => "middleware",
        }
    }

    fn attribute(self) -> &'static str {
        match self {
            Role::Handler => "#[debug_handler]",
            Role::Middleware => "#[debug_middleware]",
        }
    }
}

/// Fails if the attribute has arguments of its own.
pub(crate) fn without_arguments(role: Role, arguments: TokenStream) -> Result<()> {
    if arguments.is_empty() {
        return Ok(());
    }
    Err(Error::new_spanned(arguments, format!("`{}` takes no arguments", role.attribute())))
}

/// Parses the item, which must be a function.
pub(crate) fn parse(role: Role, item: TokenStream) -> Result<ItemFn> {
    syn::parse2(item.clone())
        .map_err(|_| Error::new_spanned(item, format!("`{}` is for functions", role.attribute())))
}

/// Returns all mistakes of the signature as one error.
pub(crate) fn check(role: Role, function: &ItemFn) -> Result<()> {
    let mut errors: Vec<Error> = Vec::new();
    errors.extend(not_async(role, function));
    errors.extend(generic(role, function));
    errors.extend(arguments(role, function));
    match errors.into_iter().reduce(|mut all, error| {
        all.combine(error);
        all
    }) {
        Some(errors) => Err(errors),
        None => Ok(()),
    }
}

fn not_async(role: Role, function: &ItemFn) -> Option<Error> {
    let signature = &function.sig;
    if signature.asyncness.is_some() || may_be_future(&signature.output) {
        return None;
    }
    let message = format!("a {} is an async function: write `async fn {}`", role.name(), signature.ident);
    Some(Error::new(signature.fn_token.span(), message))
}

/// Returns true for `impl Future<…>`, and for types that may be a boxed future.
fn may_be_future(output: &ReturnType) -> bool {
    let ReturnType::Type(_, output) = output else { return false };
    match &**output {
        Type::ImplTrait(_) => true,
        Type::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == "Pin" || last.ident.to_string().contains("Future")),
        _ => false,
    }
}

fn generic(role: Role, function: &ItemFn) -> Option<Error> {
    let parameter = function.sig.generics.params.first()?;
    let (attribute, name) = (role.attribute(), role.name());
    let message = format!(
        "`{attribute}` cannot check a generic function; remove the attribute, or write the {name} for one type"
    );
    Some(Error::new_spanned(parameter, message))
}

fn arguments(role: Role, function: &ItemFn) -> Vec<Error> {
    let inputs = &function.sig.inputs;
    let mut errors: Vec<Error> = inputs.iter().filter_map(|input| argument(role, input)).collect();
    match role {
        Role::Handler => errors.extend(inputs.iter().nth(ARGUMENTS_MAX).map(|ninth| {
            let message = format!(
                "a handler has at most {ARGUMENTS_MAX} arguments; combine some of them in a type that implements `FromRequest`"
            );
            Error::new_spanned(ninth, message)
        })),
        Role::Middleware if inputs.len() != 2 => errors.push(Error::new(
            function.sig.paren_token.span.join(),
            "a middleware has two arguments: `request: Request, next: Next`",
        )),
        Role::Middleware => {}
    }
    errors
}

fn argument(role: Role, input: &FnArg) -> Option<Error> {
    let name = role.name();
    match input {
        FnArg::Receiver(receiver) => {
            let message = format!(
                "a {name} has no `self`; give the value to `App::with_state` and take it as `State<T>`"
            );
            Some(Error::new_spanned(receiver, message))
        }
        FnArg::Typed(typed) => match &*typed.ty {
            Type::Reference(reference) => {
                let message =
                    format!("a {name} owns its arguments: take the value itself, such as `Data<String>`");
                Some(Error::new_spanned(reference, message))
            }
            Type::ImplTrait(hidden) => {
                Some(Error::new_spanned(hidden, format!("an argument of a {name} has a type with a name")))
            }
            _ => None,
        },
    }
}
