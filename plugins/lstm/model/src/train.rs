//! Training: truncated back-propagation through time over many series side by side.
//!
//! Histories are cut into segments, which are shuffled and walked in lanes; after every few ticks of
//! all lanes the optimiser takes a step (Williams and Peng, Neural Computation 1990). A segment
//! begins with what the layer remembered at the end of the one before it when that was last walked:
//! stale by one pass, which matters less than a beginning without memory. The optimiser is Adam
//! (Kingma and Ba, ICLR 2015) with the gradient's norm cut (Pascanu et al., ICML 2013), a rate that
//! falls along a cosine, and an average of the weights over the last steps as the result (Polyak and
//! Juditsky, 1992), which costs nothing and forgets the noise of single steps.
//!
//! Work and memory follow from the configuration and the bounds in [`crate::lesson`]: at most
//! `max_steps` steps of at most 8 lanes times 24 ticks. Every sum has a fixed order.

use tidegate_model_kit::Stream;

use crate::cell::{Cells, Step};
use crate::config::Config;
use crate::head::{Head, context, context_backward};
use crate::lesson::{ClockFace, Lesson};
use crate::linear::add;
use crate::view::INPUTS;
use crate::weights::{MIXED, Weights};

/// Series side by side.
const LANES: usize = 8;
/// Ticks between two steps of the optimiser.
const CHUNK: usize = 24;
/// Ticks of a segment.
const SEGMENT: usize = 504;
/// Distances that are asked of each tick.
const QUESTIONS: usize = 2;
/// The largest norm of a gradient.
const NORM: f32 = 1.0;
/// How strongly weights are drawn to zero (Loshchilov and Hutter, ICLR 2019).
const DECAY: f32 = 0.05;
/// Of the rate at the end.
const LAST_RATE: f64 = 0.02;

/// A piece of a history.
#[derive(Debug, Clone)]
struct Segment {
    lesson: usize,
    from: usize,
    to: usize,
    start: Cells,
}

/// Trains `weights` on from what they are. Gives the weights, and for each lesson its accent: what
/// it adds to the head's layer, the one thing that is learned for a series alone.
pub(crate) fn train(
    mut weights: Weights,
    config: &Config,
    epochs: usize,
    lessons: &[Lesson],
    stream: &mut Stream,
) -> (Weights, Vec<f32>) {
    let shared = weights.values.len();
    weights.values.resize(shared + MIXED * lessons.len(), 0.0);
    let mut segments = Vec::new();
    for (lesson, l) in lessons.iter().enumerate() {
        for from in (0..l.len()).step_by(SEGMENT) {
            segments.push(Segment {
                lesson,
                from,
                to: (from + SEGMENT).min(l.len()),
                start: Cells::zero(weights.shape),
            });
        }
    }
    let lanes = lessons.len().clamp(4, LANES);
    let planned = epochs * segments.len().div_ceil(lanes) * SEGMENT.div_ceil(CHUNK);
    let planned = planned.min(config.max_steps as usize);
    let mut run = Run {
        clocks: lessons.iter().map(ClockFace::of).collect(),
        optimiser: Adam::new(weights, config.learning_rate, planned),
        lessons,
    };
    let mut order: Vec<usize> = (0..segments.len()).collect();
    for _ in 0..epochs {
        shuffle(&mut order, stream);
        for group in order.chunks(lanes) {
            run.walk(&mut segments, group, stream);
        }
    }
    let mut trained = run.optimiser.average;
    let accents = trained.values.split_off(shared);
    (trained, accents)
}

/// Fisher and Yates.
fn shuffle(order: &mut [usize], stream: &mut Stream) {
    for last in (1..order.len()).rev() {
        let other = (stream.uniform() * (last + 1) as f64) as usize;
        order.swap(last, other.min(last));
    }
}

struct Run<'a> {
    lessons: &'a [Lesson],
    clocks: Vec<ClockFace>,
    optimiser: Adam,
}

impl Run<'_> {
    /// Walks a group of segments side by side, with a step of the optimiser per chunk.
    fn walk(&mut self, segments: &mut [Segment], group: &[usize], stream: &mut Stream) {
        let shape = self.optimiser.weights.shape;
        let mut cells: Vec<Cells> = group.iter().map(|s| segments[*s].start.clone()).collect();
        let mut steps = vec![vec![Step::zero(shape); CHUNK]; group.len()];
        let longest = group.iter().map(|s| segments[*s].to - segments[*s].from);
        let longest = longest.max().unwrap_or(0);
        for offset in (0..longest).step_by(CHUNK) {
            if self.optimiser.is_done() {
                return;
            }
            let mut gradient = Weights::zero(shape);
            let all = self.optimiser.weights.values.len();
            gradient.values.resize(all, 0.0);
            let mut asked = 0.0;
            for ((place, cells), steps) in group.iter().zip(&mut cells).zip(&mut steps) {
                let segment = &segments[*place];
                let from = (segment.from + offset).min(segment.to);
                let to = (from + CHUNK).min(segment.to);
                asked += self.chunk(
                    segment.lesson,
                    from..to,
                    cells,
                    steps,
                    &mut gradient,
                    stream,
                );
            }
            self.optimiser.step(&mut gradient, asked);
        }
        for (place, cells) in group.iter().zip(cells) {
            let (lesson, to) = (segments[*place].lesson, segments[*place].to);
            if let Some(next) = segments.get_mut(place + 1)
                && next.lesson == lesson
                && next.from == to
            {
                next.start = cells;
            }
        }
    }

    /// One lane's ticks forward, its questions, and back; returns how many questions there were.
    fn chunk(
        &self,
        place: usize,
        ticks: std::ops::Range<usize>,
        cells: &mut Cells,
        steps: &mut [Step],
        gradient: &mut Weights,
        stream: &mut Stream,
    ) -> f32 {
        let w = &self.optimiser.weights;
        let (lesson, clock) = (&self.lessons[place], &self.clocks[place]);
        let hidden = w.shape.hidden;
        let accent = w.shape.len() + MIXED * place;
        let accent = accent..accent + MIXED;
        let mut dhs = vec![0.0f32; hidden * ticks.len()];
        let mut asked = 0.0;
        for ((tick, step), dh) in ticks
            .clone()
            .zip(steps.iter_mut())
            .zip(dhs.chunks_mut(hidden))
        {
            let input: &[f32; INPUTS] = &lesson.inputs[tick];
            step.forward(w, input, cells);
            cells.h.copy_from_slice(&step.after.h);
            cells.c.copy_from_slice(&step.after.c);
            let shared = context(w, &cells.h, w.of(accent.clone()));
            let mut dshared = [0.0; MIXED];
            for k in 0..QUESTIONS {
                // Half of them near: an hour ahead is asked for more often than a day.
                let reach = (lesson.season() / if k == 0 { 8 } else { 1 }).max(1) as f64;
                let ahead = libm::exp(stream.uniform() * libm::log(reach + 1.0)) as usize;
                let Some((view, y, weight)) = lesson.question(tick, ahead.max(1), clock) else {
                    continue;
                };
                let head = Head::forward(w, &shared, &view);
                head.backward(w, gradient, &view, (y, weight), &mut dshared);
                asked += 1.0;
            }
            context_backward(w, gradient, &cells.h, &dshared, dh);
            add(gradient.of_mut(accent.clone()), &dshared);
        }
        let mut dh_next = vec![0.0; hidden];
        let (mut dc, mut dz) = (vec![0.0; hidden], vec![0.0; 4 * hidden]);
        for (step, dh) in steps[..ticks.len()].iter().zip(dhs.chunks(hidden)).rev() {
            for (sum, d) in dh_next.iter_mut().zip(dh) {
                *sum += d;
            }
            step.backward(w, gradient, &mut dh_next, &mut dc, &mut dz);
        }
        asked
    }
}

struct Adam {
    weights: Weights,
    average: Weights,
    first: Vec<f32>,
    second: Vec<f32>,
    rate: f64,
    done: usize,
    planned: usize,
}

impl Adam {
    const FIRST: f32 = 0.9;
    const SECOND: f32 = 0.99;

    fn new(weights: Weights, rate: f32, planned: usize) -> Self {
        let n = weights.values.len();
        Self {
            average: weights.clone(),
            weights,
            first: vec![0.0; n],
            second: vec![0.0; n],
            rate: f64::from(rate),
            done: 0,
            planned,
        }
    }

    fn is_done(&self) -> bool {
        self.done >= self.planned
    }

    fn step(&mut self, gradient: &mut Weights, asked: f32) {
        self.done += 1;
        if asked == 0.0 {
            return;
        }
        let values = &mut gradient.values;
        let squares: f32 = values.iter().map(|g| g * g).sum();
        let norm = squares.sqrt() / asked;
        // A gradient that is not finite would end the training for good: this step teaches nothing.
        if !norm.is_finite() {
            return;
        }
        let cut = (NORM / norm.max(1e-20)).min(1.0) / asked;
        let part = self.done as f64 / self.planned as f64;
        let cosine = 0.5 * (1.0 + libm::cos(std::f64::consts::PI * part));
        let rate = self.rate * (LAST_RATE + (1.0 - LAST_RATE) * cosine);
        let n = self.done as f64;
        let unbias = (1.0 - libm::pow(f64::from(Self::SECOND), n)).sqrt()
            / (1.0 - libm::pow(f64::from(Self::FIRST), n));
        let rate = (rate * unbias) as f32;
        let keep = (self.done as f32 / (self.done as f32 + 10.0)).min(0.99);
        let moments = self.first.iter_mut().zip(&mut self.second);
        let all = self.weights.values.iter_mut().zip(&mut self.average.values);
        for (((w, average), (m, v)), g) in all.zip(moments).zip(values.iter()) {
            let g = g * cut;
            *m += (1.0 - Self::FIRST) * (g - *m);
            *v += (1.0 - Self::SECOND) * (g * g - *v);
            *w -= rate * (*m / (v.sqrt() + 1e-8) + DECAY * *w);
            *average += (1.0 - keep) * (*w - *average);
        }
    }
}
