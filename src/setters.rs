//! Owns the methods by which configurations are put together: one for each field, of the same name.

/// Declares them for a type. `into` takes whatever becomes the field's type: a value for an option, a `&str` for a text.
macro_rules! setters {
    ($type:ty { $($fields:tt)* }) => {
        impl $type { setters!(@each $($fields)*); }
    };
    (@each $field:ident: into $value:ty, $($rest:tt)*) => {
        #[doc = concat!("Chooses the field `", stringify!($field), "`.")]
        #[must_use]
        pub fn $field(mut self, $field: impl Into<$value>) -> Self {
            self.$field = $field.into();
            self
        }
        setters!(@each $($rest)*);
    };
    (@each $field:ident: $value:ty, $($rest:tt)*) => {
        #[doc = concat!("Chooses the field `", stringify!($field), "`.")]
        #[must_use]
        pub fn $field(mut self, $field: $value) -> Self {
            self.$field = $field;
            self
        }
        setters!(@each $($rest)*);
    };
    (@each) => {};
}
