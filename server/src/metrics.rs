//! Every metric: name, meaning, unit.
