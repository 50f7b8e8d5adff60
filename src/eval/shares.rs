//! Top-1 and top-5: shares of samples whose class is the best answer, or among the best five.

use tch::{Device, Kind, Tensor};

use crate::dist::{Comm, DistError, gather};

/// Answers that top-5 looks at; of so many classes or fewer it would always be right.
const FIVE: i64 = 5;

/// Shares of samples that were recognised, as fractions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// The best answer is right.
    pub top1: f64,
    /// One of the best five is; `None` for five classes or fewer.
    pub top5: Option<f64>,
}

/// Counts recognised samples over batches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter {
    rows: f64,
    first: f64,
    /// Not looked at for five classes or fewer.
    five: Option<f64>,
}

impl Counter {
    /// Counts rows of `scores: [rows, classes]` against `labels: [rows]`, i64; every batch is of the same classes.
    pub fn count(&mut self, scores: &Tensor, labels: &Tensor) {
        let classes = scores.size()[1];
        let (_, best) = scores.topk(FIVE.min(classes), 1, true, true);
        let right = best.eq_tensor(&labels.unsqueeze(1)).to_kind(Kind::Double);
        self.rows += labels.size()[0] as f64;
        self.first += right.narrow(1, 0, 1).sum(Kind::Double).double_value(&[]);
        if classes > FIVE {
            *self.five.get_or_insert(0.0) += right.sum(Kind::Double).double_value(&[]);
        }
    }

    /// What all ranks of `comm` counted, by way of `device`; some may have counted nothing.
    ///
    /// # Errors
    /// Where a rank is gone.
    pub fn of_all(self, comm: &dyn Comm, device: Device) -> Result<Self, DistError> {
        let looked = f64::from(u8::from(self.five.is_some()));
        let numbers = [self.rows, self.first, self.five.unwrap_or(0.0), looked];
        let [rows, first, five, looked] = gather::sums(comm, device, numbers)?;
        Ok(Self { rows, first, five: (looked > 0.0).then_some(five) })
    }

    /// The shares over all that was counted, which is at least one row.
    pub fn shares(&self) -> Shares {
        Shares { top1: self.first / self.rows, top5: self.five.map(|five| five / self.rows) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_up_to_five() {
        // The scores fall from class 0 to class 6, so that class `c` has rank `c`.
        let scores = Tensor::arange(7, (Kind::Float, tch::Device::Cpu)).neg().unsqueeze(0).repeat([4, 1]);
        let mut counter = Counter::default();
        counter.count(&scores, &Tensor::from_slice(&[0i64, 4, 5, 6]));
        assert_eq!(counter.shares(), Shares { top1: 0.25, top5: Some(0.5) });
        counter.count(&scores, &Tensor::from_slice(&[0i64, 0, 0, 0]));
        assert_eq!(counter.shares(), Shares { top1: 0.625, top5: Some(0.75) });
    }

    #[test]
    fn five_classes_have_no_top_five() {
        let scores = Tensor::from_slice(&[0.0, 3.0, 1.0, 0.5, 2.0]).unsqueeze(0);
        let mut counter = Counter::default();
        counter.count(&scores, &Tensor::from_slice(&[1i64]));
        assert_eq!(counter.shares(), Shares { top1: 1.0, top5: None });
    }
}
