//! The standard normal distribution, on `libm` alone.
//!
//! Quantiles by Wichura's algorithm AS 241 (Applied Statistics 37, 1988): three rational
//! approximations with a relative error near 1e-16. Rejected: Newton steps on the error function,
//! which need a start that is as long and cost a transcendental function per step.

const CENTRE: [[f64; 8]; 2] = [
    [
        3.387_132_872_796_366_5,
        1.331_416_678_917_843_8e2,
        1.971_590_950_306_551_3e3,
        1.373_169_376_550_946e4,
        4.592_195_393_154_987e4,
        6.726_577_092_700_87e4,
        3.343_057_558_358_813e4,
        2.509_080_928_730_122_7e3,
    ],
    [
        1.0,
        4.231_333_070_160_091e1,
        6.871_870_074_920_579e2,
        5.394_196_021_424_751e3,
        2.121_379_430_158_659_7e4,
        3.930_789_580_009_271e4,
        2.872_908_573_572_194_3e4,
        5.226_495_278_852_854e3,
    ],
];
const SHOULDER: [[f64; 8]; 2] = [
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        2.417_807_251_774_506e-1,
        2.272_384_498_926_918_4e-2,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        6.897_673_349_851e-1,
        1.481_039_764_274_800_8e-1,
        1.519_866_656_361_645_7e-2,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
];
const TAIL: [[f64; 8]; 2] = [
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        2.965_605_718_285_049e-1,
        2.653_218_952_657_612_4e-2,
        1.242_660_947_388_078_4e-3,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        5.998_322_065_558_88e-1,
        1.369_298_809_227_358e-1,
        1.487_536_129_085_061_5e-2,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
];

fn ratio(c: &[[f64; 8]; 2], x: f64) -> f64 {
    let poly = |a: &[f64; 8]| a.iter().rev().fold(0.0, |sum, k| sum * x + k);
    poly(&c[0]) / poly(&c[1])
}

/// The standard normal quantile of `p`; `p` is clamped into (1e-300, 1 - 1e-16), so the answer
/// is always finite. NaN gives 0, the median.
#[must_use]
pub fn normal_quantile(p: f64) -> f64 {
    if p.is_nan() {
        return 0.0;
    }
    let p = p.clamp(1e-300, 1.0 - 1e-16);
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        return q * ratio(&CENTRE, 0.180_625 - q * q);
    }
    let r = (-libm::log(if q < 0.0 { p } else { 1.0 - p })).sqrt();
    let z = if r <= 5.0 {
        ratio(&SHOULDER, r - 1.6)
    } else {
        ratio(&TAIL, r - 5.0)
    };
    if q < 0.0 { -z } else { z }
}

/// The standard normal distribution function at `z`.
#[must_use]
pub fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_usual_table_values_come_out() {
        for (p, z) in [
            (0.975, 1.959_963_984_540_054),
            (0.9, 1.281_551_565_544_600_4),
            (0.5, 0.0),
        ] {
            assert!((normal_quantile(p) - z).abs() < 1e-13, "{p}");
        }
    }

    #[test]
    fn nonsense_probabilities_stay_finite() {
        for p in [0.0, 1.0, -3.0, 7.0, f64::NAN, f64::INFINITY] {
            assert!(normal_quantile(p).is_finite(), "{p}");
        }
    }

    proptest! {
        #[test]
        fn quantile_and_distribution_invert_each_other(p in 1e-12f64..0.999_999) {
            let back = normal_cdf(normal_quantile(p));
            prop_assert!((back - p).abs() <= 1e-12 * p.max(1e-3), "{} {}", p, back);
        }
    }
}
