//! Packed tables by input size and mirroring, kept where making one costs as much as rendering.

/// The last table; of small inputs all.
pub(in super::super) struct Tables<T> {
    key: Option<(u32, bool)>,
    last: T,
    /// `[size][mirrored]`.
    small: Vec<[Option<T>; 2]>,
}

impl<T: Default> Tables<T> {
    /// Keeps the tables of inputs of at most `kept` pixels.
    pub(in super::super) fn new(kept: u32) -> Self {
        Self { key: None, last: T::default(), small: (0..=kept).map(|_| [None, None]).collect() }
    }

    /// The table of `key`, which `fill` makes where it is not there.
    pub(in super::super) fn get(&mut self, key: (u32, bool), fill: impl FnOnce(&mut T)) -> &T {
        if let Some(tables) = self.small.get_mut(key.0 as usize) {
            return tables[usize::from(key.1)].get_or_insert_with(|| {
                let mut table = T::default();
                fill(&mut table);
                table
            });
        }
        if self.key != Some(key) {
            self.key = Some(key);
            fill(&mut self.last);
        }
        &self.last
    }
}
