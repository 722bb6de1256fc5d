//! Smooth random numbers over the picture: value noise of one or several octaves.

use crate::world::canvas::smoothstep;
use crate::world::dice::Dice;

/// One number for each pixel.
pub(super) struct Field {
    side: usize,
    values: Vec<f32>,
}

impl Field {
    /// Value noise with about `cells` knots across, in -1..1.
    pub fn smooth(dice: &mut Dice, side: usize, cells: usize) -> Self {
        let mut field = Self { side, values: vec![0.0; side * side] };
        field.add(dice, [cells as f32; 2], 1.0);
        field
    }

    /// Octaves from `[across, down]` knots on, doubling, down to three pixels, with amplitudes falling by `persistence`: at 0.5 the amplitude
    /// falls like 1/f. About within -1..1.
    pub fn octaves(dice: &mut Dice, side: usize, first: [f32; 2], persistence: f32) -> Self {
        let mut field = Self { side, values: vec![0.0; side * side] };
        let (mut cells, mut amplitude, mut total) = (first, 1.0, 0.0);
        let finest = side as f32 / 2.0;
        while cells[0].max(cells[1]) <= finest.max(2.0) {
            field.add(dice, cells, amplitude);
            total += amplitude;
            amplitude *= persistence;
            cells = cells.map(|c| 2.0 * c);
        }
        field.values.iter_mut().for_each(|v| *v *= 1.4 / total.max(1e-6));
        field
    }

    /// The number at a pixel.
    pub fn at(&self, x: usize, y: usize) -> f32 {
        self.values[y * self.side + x]
    }

    /// Adds one octave: knots of uniform draws in -1..1, joined by smooth steps first down, then across.
    fn add(&mut self, dice: &mut Dice, cells: [f32; 2], amplitude: f32) {
        let side = self.side;
        let offset = [dice.unit(), dice.unit()];
        // Of each pixel, the knot before it and how far it is towards the next one.
        let lines = [0, 1].map(|axis| {
            (0..side)
                .map(|i| {
                    let at = offset[axis] + cells[axis] * (i as f32 + 0.5) / side as f32;
                    let knot = at.floor();
                    (knot as usize, smoothstep(at - knot))
                })
                .collect::<Vec<_>>()
        });
        let [across, down] = &lines;
        let knots = |line: &[(usize, f32)]| line.last().map_or(0, |&(knot, _)| knot + 2);
        let (columns, rows) = (knots(across), knots(down));
        let lattice: Vec<f32> = (0..columns * rows).map(|_| amplitude * (2.0 * dice.unit() - 1.0)).collect();
        let mut joined = vec![0.0; columns];
        for (row, &(knot, t)) in self.values.chunks_mut(side).zip(down) {
            let (above, below) = (&lattice[knot * columns..][..columns], &lattice[(knot + 1) * columns..][..columns]);
            for ((value, a), b) in joined.iter_mut().zip(above).zip(below) {
                *value = a + t * (b - a);
            }
            for (value, &(knot, t)) in row.iter_mut().zip(across) {
                *value += joined[knot] + t * (joined[knot + 1] - joined[knot]);
            }
        }
    }
}

/// A wave of period 1 between -1 and 1, made of parabolas: within 0.06 of a sine, and the same on every machine.
pub(super) fn wave(phase: f32) -> f32 {
    let s = 2.0 * (phase - phase.floor()) - 1.0;
    4.0 * s * (1.0 - s.abs())
}
