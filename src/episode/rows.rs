//! tmp
/// tmp
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowLayout { /// c
 pub classes: usize, /// v
 pub views: usize }
impl RowLayout {
    /// n
    pub const fn new(classes: usize, views: usize) -> Self { Self { classes, views } }
    /// r
    pub const fn rows(self) -> usize { self.classes * self.views }
}
