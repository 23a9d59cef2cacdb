//! Attributes for functions that an app of the crate `switchboard` calls. They add checks that are never run: each
//! part of the signature on its own, so that an error of the compiler names the part that is wrong.

mod checks;
mod signature;

use proc_macro::TokenStream;
use syn::ItemFn;

use crate::signature::Role;

/// Names the cause if a function is not a handler.
///
/// A function that is not a handler is refused where it is passed to `App::on`, with an error about the whole function.
/// With this attribute the error points at the argument, the return type or the value across an `.await` that is the
/// cause. The attribute does not change the function, and costs nothing at run time.
///
/// ```compile_fail
/// use switchboard::{App, debug_handler};
///
/// #[debug_handler]
/// async fn step(x: i32, y: i32) {} // error: `i32` cannot be an argument of a handler
///
/// let app = App::new().on("/step", step);
/// ```
///
/// It is for functions without generic parameters that are not methods.
#[proc_macro_attribute]
pub fn debug_handler(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand(Role::Handler, arguments, function)
}

/// Names the cause if a function is not a middleware; see [`macro@debug_handler`].
///
/// ```
/// use switchboard::{App, Next, Request, Response, debug_middleware};
///
/// #[debug_middleware]
/// async fn log(request: Request, next: Next) -> Response {
///     println!("{}", request.event());
///     next.run(request).await
/// }
/// let app = App::new().middleware(log);
/// ```
#[proc_macro_attribute]
pub fn debug_middleware(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand(Role::Middleware, arguments, function)
}

/// The function, followed by its checks or by the errors of its signature.
fn expand(role: Role, arguments: TokenStream, function: TokenStream) -> TokenStream {
    let original = proc_macro2::TokenStream::from(function);
    let added = signature::without_arguments(role, arguments.into())
        .and_then(|()| signature::parse(role, original.clone()))
        .and_then(|function: ItemFn| {
            signature::check(role, &function)?;
            Ok(checks::of(role, &function))
        })
        .unwrap_or_else(syn::Error::into_compile_error);
    quote::quote! { #original #added }.into()
}
