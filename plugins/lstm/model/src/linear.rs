//! The three products of a layer, written so that a compiler turns them into vectors.
//!
//! A matrix has a row per input, as long as there are outputs: forward is a sum of scaled rows,
//! the gradient of the weights an outer product, the gradient of the inputs a dot product per row
//! with eight sums side by side (one sum would have to be in order, and scalar). Rejected: an array
//! library, whose general kernels cost more than matrices of 44 by 128 take.

/// `out += xᵀ w`, with `w` as `[input][output]`.
pub(crate) fn forward(out: &mut [f32], x: &[f32], w: &[f32]) {
    let n = out.len();
    let mut rows = w.chunks_exact(n);
    let mut inputs = x.chunks_exact(4);
    for x in &mut inputs {
        let (Some(a), Some(b), Some(c), Some(d)) =
            (rows.next(), rows.next(), rows.next(), rows.next())
        else {
            return;
        };
        for ((((o, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *o += x[0] * a + x[1] * b + x[2] * c + x[3] * d;
        }
    }
    for (x, row) in inputs.remainder().iter().zip(rows) {
        for (o, w) in out.iter_mut().zip(row) {
            *o += x * w;
        }
    }
}

/// `dw += x ⊗ dout`.
pub(crate) fn outer(dw: &mut [f32], x: &[f32], dout: &[f32]) {
    for (x, row) in x.iter().zip(dw.chunks_exact_mut(dout.len())) {
        for (w, d) in row.iter_mut().zip(dout) {
            *w += x * d;
        }
    }
}

/// `dx += w dout`.
pub(crate) fn backward(dx: &mut [f32], dout: &[f32], w: &[f32]) {
    for (x, row) in dx.iter_mut().zip(w.chunks_exact(dout.len())) {
        *x += dot(row, dout);
    }
}

/// The sum of `from` into `into`.
pub(crate) fn add(into: &mut [f32], from: &[f32]) {
    for (a, b) in into.iter_mut().zip(from) {
        *a += b;
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a8
        .remainder()
        .iter()
        .zip(b8.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a8.zip(b8) {
        for ((s, a), b) in sums.iter_mut().zip(a).zip(b) {
            *s += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_products_are_those_of_the_textbook() {
        let x = [1.0, -2.0, 3.0, 0.5, 2.0];
        let w: Vec<f32> = (0..15).map(|k| (k % 7) as f32 - 3.0).collect();
        let mut out = [0.0; 3];
        forward(&mut out, &x, &w);
        for (j, o) in out.iter().enumerate() {
            let plain: f32 = (0..5).map(|i| x[i] * w[i * 3 + j]).sum();
            assert!((o - plain).abs() < 1e-5);
        }
        let d = [1.0, -1.0, 2.0];
        let (mut dw, mut dx) = ([0.0; 15], [0.0; 5]);
        outer(&mut dw, &x, &d);
        backward(&mut dx, &d, &w);
        assert!((dw[4 * 3 + 2] - 2.0 * 2.0).abs() < 1e-6);
        for (i, dx) in dx.iter().enumerate() {
            let plain: f32 = (0..3).map(|j| d[j] * w[i * 3 + j]).sum();
            assert!((dx - plain).abs() < 1e-5);
        }
    }
}
