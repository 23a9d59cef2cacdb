//! Checks that the compiler makes of each part of a signature.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{FnArg, ItemFn, ReturnType, Type};

use crate::signature::Role;

/// Functions that only compile if the parts of the signature are right. Nothing calls them.
pub(crate) fn of(role: Role, function: &ItemFn) -> TokenStream {
    let types: Vec<&Type> = function.sig.inputs.iter().filter_map(type_of).collect();
    let arguments: TokenStream = match role {
        Role::Handler => types.iter().map(|ty| argument(ty)).collect(),
        Role::Middleware => middleware_arguments(&types),
    };
    let (reply, future) = (reply(function), future(function, &types));
    quote! {
        const _: () = {
            #arguments
            #reply
            #future
        };
    }
}

fn type_of(input: &FnArg) -> Option<&Type> {
    match input {
        FnArg::Typed(typed) => Some(&typed.ty),
        FnArg::Receiver(_) => None,
    }
}

fn argument(ty: &Type) -> TokenStream {
    // For a wrapper, the error of the compiler then says what `T` lacks, such as `Deserialize`.
    let check = if is_wrapper(ty) {
        quote_spanned!(ty.span()=> ::switchboard::__private::check_sync_argument::<#ty>())
    } else {
        quote_spanned!(ty.span()=> ::switchboard::__private::check_argument::<#ty, _>())
    };
    quote! { const _: fn() = || { #check }; }
}

/// Returns true for `Data<T>` and `State<T>`.
fn is_wrapper(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "Data" || last.ident == "State")
}

fn middleware_arguments(types: &[&Type]) -> TokenStream {
    let Some((first, last)) = types.first().zip(types.last()) else { return TokenStream::new() };
    let span = first.span().join(last.span()).unwrap_or(first.span());
    let check =
        quote_spanned!(span=> ::switchboard::__private::check_middleware_arguments::<(#(#types),*)>());
    quote! { const _: fn() = || { #check }; }
}

/// Checks a return type on its own.
fn reply(function: &ItemFn) -> TokenStream {
    let ReturnType::Type(_, output) = &function.sig.output else { return TokenStream::new() };
    if !is_reply_checked(function) {
        return TokenStream::new();
    }
    let check = quote_spanned!(output.span()=> ::switchboard::__private::check_reply::<#output>());
    quote! { const _: fn() = || { #check }; }
}

/// Returns false if the type of the reply cannot be written in a check: `impl Trait`, or the output of a future that the
/// function returns. It is checked with the future then.
fn is_reply_checked(function: &ItemFn) -> bool {
    let is_hidden = match &function.sig.output {
        ReturnType::Type(_, output) => matches!(**output, Type::ImplTrait(_)),
        ReturnType::Default => false,
    };
    function.sig.asyncness.is_some() && !is_hidden
}

/// Checks that the future can move between threads, and the reply of a function that is not async.
fn future(function: &ItemFn, types: &[&Type]) -> TokenStream {
    let name = &function.sig.ident;
    let arguments: Vec<_> = (0..types.len()).map(|number| format_ident!("argument_{number}")).collect();
    let check = match is_reply_checked(function) {
        true => quote!(check_future),
        false => quote!(check_future_of_reply),
    };
    let call = quote_spanned!(name.span()=> ::switchboard::__private::#check(#name(#(#arguments),*)));
    quote! {
        #[allow(dead_code, clippy::too_many_arguments)]
        fn check(#(#arguments: #types),*) { #call }
    }
}
