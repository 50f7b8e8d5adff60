//! The ONE statement of row order: view-major, then class (Ni et al., ICLR 2022, published code: `row = view * classes + class`).
//!
//! Lives here: arithmetic between rows, views and classes, for one process and for the batch joined over all processes; which process holds
//! which image ([`dealt`]).
//! Not here: pixels, tensors, threads.

use std::ops::Range;

/// Rows of a batch: view 0 of classes `0..classes`, then view 1 of the same classes, and so on.
///
/// The first `n_supp` views of a class are its support, the next `n_query` its query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowLayout {
    /// Classes of the task: one for each image (four with `TaskPolicy::Expand`).
    pub classes: usize,
    /// Views of each class.
    pub views: usize,
    /// Classes that are made of one image; class `copy * images + image` is the `copy`-th of `image`.
    pub copies: usize,
}

impl RowLayout {
    /// The layout of `views` views of each of `classes` classes, each of an image of its own.
    pub const fn new(classes: usize, views: usize) -> Self {
        Self { classes, views, copies: 1 }
    }

    /// The layout of `views` views of each of `copies` classes of each of `images` images.
    pub const fn of_images(images: usize, copies: usize, views: usize) -> Self {
        Self { classes: images * copies, views, copies }
    }

    /// Number of images.
    pub const fn images(self) -> usize {
        self.classes / self.copies
    }

    /// Number of rows.
    pub const fn rows(self) -> usize {
        self.classes * self.views
    }

    /// The row of a view of a class.
    pub const fn row(self, view: usize, class: usize) -> usize {
        view * self.classes + class
    }

    /// The class that `row` shows: its label within the task.
    pub const fn class_of(self, row: usize) -> usize {
        row % self.classes
    }

    /// Which of its class's views `row` is.
    pub const fn view_of(self, row: usize) -> usize {
        row / self.classes
    }

    /// What the rows of `view` show, in their order: a copy of an image each.
    pub fn shown_by(self, view: usize) -> impl Iterator<Item = Shown> {
        (0..self.copies).flat_map(move |copy| (0..self.images()).map(move |image| Shown { view, copy, image }))
    }

    /// What `row` shows.
    pub const fn shown(self, row: usize) -> Shown {
        let (class, images) = (self.class_of(row), self.images());
        Shown { view: self.view_of(row), copy: class / images, image: class % images }
    }

    /// Rows of the first `n_supp` views of every class.
    pub const fn support(self, n_supp: usize) -> Range<usize> {
        0..n_supp * self.classes
    }

    /// Rows of the `n_query` views that follow the support.
    pub const fn query(self, n_supp: usize, n_query: usize) -> Range<usize> {
        n_supp * self.classes..(n_supp + n_query) * self.classes
    }

    /// The other rows of `row`'s class: `row + k * classes` modulo all rows, for `k` in `1..views`.
    pub fn positives(self, row: usize) -> impl Iterator<Item = usize> {
        (1..self.views).map(move |k| (row + k * self.classes) % self.rows())
    }

    /// The layout of the batch joined over `world` processes, each of which holds rows laid out as `self`.
    pub const fn joined(self, world: usize) -> Self {
        Self { classes: self.classes * world, ..self }
    }

    /// Where local `row` of process `rank` stands in [`joined`](Self::joined)`(world)`: same view, same copy, the image where [`dealt`] says.
    /// It grows with `row`.
    pub const fn joined_row(self, world: usize, rank: usize, row: usize) -> usize {
        let (images, class) = (self.images(), self.class_of(row));
        let image = dealt(images, world, rank, class % images);
        self.joined(world).row(self.view_of(row), class / images * images * world + image)
    }
}

/// What a row shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Which of its class's views.
    pub view: usize,
    /// Which of its image's classes.
    pub copy: usize,
    /// The image.
    pub image: usize,
}

/// Where the `nth` image of process `rank` stands in a batch of `rounds * world` images, which are dealt to `world` processes like cards: one to
/// each in a round, in the later half of the rounds backwards.
///
/// So every process holds a part of every stretch of the batch and, where there are as many rounds forwards as backwards, with each image the
/// one opposite, with which mixing pairs it.
pub const fn dealt(rounds: usize, world: usize, rank: usize, nth: usize) -> usize {
    let place = if nth < rounds.div_ceil(2) { rank } else { world - 1 - rank };
    nth * world + place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_and_its_inverses_agree() {
        let rows = RowLayout::new(5, 3);
        for row in 0..rows.rows() {
            assert_eq!(rows.row(rows.view_of(row), rows.class_of(row)), row);
        }
        assert_eq!(rows.row(2, 1), 11);
    }

    #[test]
    fn rows_show_their_view_copy_and_image() {
        let rows = RowLayout::of_images(5, 4, 3);
        let shown: Vec<Shown> = (0..3).flat_map(|view| rows.shown_by(view)).collect();
        assert_eq!(shown, (0..rows.rows()).map(|row| rows.shown(row)).collect::<Vec<_>>());
        assert_eq!(shown.len(), rows.rows());
        for (row, Shown { view, copy, image }) in shown.into_iter().enumerate() {
            assert_eq!((view, copy * 5 + image), (rows.view_of(row), rows.class_of(row)));
            assert_eq!(rows.row(view, copy * 5 + image), row);
        }
    }

    #[test]
    fn support_then_query_cover_whole_views() {
        let rows = RowLayout::new(4, 5);
        assert_eq!(rows.support(2), 0..8);
        assert_eq!(rows.query(2, 3), 8..20);
        assert!(rows.query(2, 3).all(|row| (2..5).contains(&rows.view_of(row))));
    }

    #[test]
    fn positives_are_the_other_views_of_the_class() {
        let rows = RowLayout::new(4, 3);
        for row in 0..rows.rows() {
            let mut found: Vec<_> = rows.positives(row).collect();
            found.sort_unstable();
            let other_views = (0..3).map(|view| rows.row(view, rows.class_of(row)));
            assert_eq!(found, other_views.filter(|&other| other != row).collect::<Vec<_>>());
        }
    }

    /// Two processes of three images: process 0 holds images 0, 2, 5 of the joined batch, process 1 holds 1, 3, 4.
    #[test]
    fn joined_rows_are_a_bijection_that_keeps_the_order_of_rows() {
        let local = RowLayout::new(3, 2);
        assert_eq!(local.joined_row(2, 1, local.row(1, 2)), 6 + 4);
        for (world, local) in [(2, local), (3, RowLayout::of_images(4, 4, 2)), (4, RowLayout::of_images(1, 4, 3))] {
            let mut seen = vec![false; local.joined(world).rows()];
            for rank in 0..world {
                let places: Vec<_> = (0..local.rows()).map(|row| local.joined_row(world, rank, row)).collect();
                assert!(places.is_sorted(), "{places:?}");
                assert!(places.into_iter().all(|place| !std::mem::replace(&mut seen[place], true)));
            }
            assert!(seen.iter().all(|&taken| taken));
        }
    }

    #[test]
    fn a_class_and_the_one_opposite_are_opposite_in_one_process() {
        let local = RowLayout::of_images(6, 4, 1);
        let joined = local.joined(4);
        for (rank, class) in (0..4).flat_map(|rank| (0..local.classes).map(move |class| (rank, class))) {
            let opposite = local.joined_row(4, rank, local.classes - 1 - class);
            assert_eq!(opposite, joined.classes - 1 - local.joined_row(4, rank, class));
        }
    }
}
