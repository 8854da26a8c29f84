//! Owns the macro by which configurations are declared: every field once, with its documentation, type, default, setter
//! and, if users set it, its option.

/// Declares a configuration, with setters if it is `pub`. A field is `name: Type = default;`, and with an option
/// `name: Type = default, option("key", "VALUE", One<Form>);`. Its documentation is the help text of the option. A setter
/// has the name of its field; `name (into): Type` makes it take whatever becomes the field's type: a value for an option,
/// a `&str` for a text.
macro_rules! configuration {
    (
        $(#[$meta:meta])*
        pub struct $type:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident $(($into:ident))?: $ty:ty = $default:expr $(, option $option:tt)?;
            )+
        }
    ) => {
        configuration! {
            @struct pub, $(#[$meta])* $type
            $( $(#[doc = $doc])+ $field: $ty = $default $(, option $option)?; )+
        }

        impl $type {
            $( configuration!(@setter $field [$($into)?] $ty); )+
        }
    };
    ($(#[$meta:meta])* $visible:vis struct $type:ident { $($fields:tt)+ }) => {
        configuration! { @struct $visible, $(#[$meta])* $type $($fields)+ }
    };
    (@struct $visible:vis, $(#[$meta:meta])* $type:ident
        $( $(#[doc = $doc:literal])+ $field:ident: $ty:ty = $default:expr $(, option $option:tt)?; )+
    ) => {
        $(#[$meta])*
        $visible struct $type {
            $( $(#[doc = $doc])+ $visible $field: $ty, )+
        }

        impl Default for $type {
            fn default() -> Self {
                $type { $( $field: $default, )+ }
            }
        }

        impl $crate::config::Configuration for $type {
            const OPTIONS: &'static [$crate::config::ConfigOption<Self>] = configuration!(
                @options $type [] $( { $field $ty, concat!($($doc),+) $(, $option)? } )+
            );
        }
    };
    (@setter $field:ident [into] $ty:ty) => {
        #[doc = concat!("Chooses the field `", stringify!($field), "`.")]
        #[must_use]
        pub fn $field(mut self, $field: impl Into<$ty>) -> Self {
            self.$field = $field.into();
            self
        }
    };
    (@setter $field:ident [] $ty:ty) => {
        #[doc = concat!("Chooses the field `", stringify!($field), "`.")]
        #[must_use]
        pub fn $field(mut self, $field: $ty) -> Self {
            self.$field = $field;
            self
        }
    };
    (@options $type:ident [$($done:tt)*]) => { &[$($done)*] };
    (@options $type:ident [$($done:tt)*] { $field:ident $ty:ty, $help:expr } $($rest:tt)*) => {
        configuration!(@options $type [$($done)*] $($rest)*)
    };
    (@options $type:ident [$($done:tt)*]
        { $field:ident $ty:ty, $help:expr, ($key:literal, $value:literal, $shape:ty) } $($rest:tt)*
    ) => {
        configuration!(@options $type [$($done)*
            $crate::config::ConfigOption {
                field: stringify!($field),
                key: $key,
                value: $value,
                help: $crate::config::help_text($help),
                arity: <$shape as $crate::config::OptionShape<$ty>>::ARITY,
                literal: <$shape as $crate::config::OptionShape<$ty>>::LITERAL,
                text: |config: &$type| <$shape as $crate::config::OptionShape<$ty>>::write(&config.$field),
                set: |config: &mut $type, texts: &[&str]| {
                    config.$field = <$shape as $crate::config::OptionShape<$ty>>::read(texts)?;
                    Ok(())
                },
            },
        ] $($rest)*)
    };
}
