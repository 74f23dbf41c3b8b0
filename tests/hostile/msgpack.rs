//! Any JSON value as MessagePack, also one that no honest client sends.

use parlor_protocol::Form;
use serde_json::Value;

/// A frame of this form.
pub(crate) fn encode(form: Form, value: &Value) -> Vec<u8> {
    match form {
        Form::Json => value.to_string().into_bytes(),
        Form::MsgPack => {
            let mut out = Vec::new();
            put(&mut out, value);
            out
        }
    }
}

fn put(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(value) => out.push(0xc2 | u8::from(*value)),
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(number), ..) => tagged(out, 0xcf, &number.to_be_bytes()),
            (None, Some(number), _) => tagged(out, 0xd3, &number.to_be_bytes()),
            (None, None, number) => tagged(out, 0xcb, &number.unwrap_or(f64::NAN).to_be_bytes()),
        },
        Value::String(text) => {
            tagged(out, 0xdb, &len(text.len()));
            out.extend(text.as_bytes());
        }
        Value::Array(values) => {
            tagged(out, 0xdd, &len(values.len()));
            values.iter().for_each(|value| put(out, value));
        }
        Value::Object(fields) => {
            tagged(out, 0xdf, &len(fields.len()));
            for (name, value) in fields {
                put(out, &Value::String(name.clone()));
                put(out, value);
            }
        }
    }
}

fn tagged(out: &mut Vec<u8>, marker: u8, bytes: &[u8]) {
    out.push(marker);
    out.extend(bytes);
}

fn len(len: usize) -> [u8; 4] {
    u32::try_from(len).expect("a short one").to_be_bytes()
}
