//! The adjoint of the dual problem's solution: how a loss of the variables depends on the inner products.
//!
//! Where the solution `A` changes smoothly, variables at a bound stay there, and the free ones `F` keep their optimality conditions:
//! ```text
//! (M dA)[i, k] + dv[i] = -(dM A)[i, k]  for (i, k) in F,     sum over k of dA[i, k] = 0
//! ```
//! So `dloss = <g, dA> = -<w, dM A>`, where `w` is a step within the `face` of the free variables: `P M P w = P g`.

use super::face::Face;

/// Residual of the adjoint system, relative to the slope.
const TOLERANCE: f64 = 1e-12;

/// `w`, `[classes, samples]`, for the inner products `gram` (`K`), `[samples, samples]`, the solution `duals` and the slope `g` of the
/// loss, both `[classes, samples]`.
pub fn solve(gram: &[f64], duals: &[f64], slope: &[f64]) -> Vec<f64> {
    Face::of(duals, gram.len().isqrt()).solve(gram, slope, TOLERANCE)
}
