//! The combinations of several lists. Each is made when it is asked for: millions of them take no
//! more memory than the lists. Knows nothing of tasks.

use crate::job::Items;
use crate::value::Value;

/// Every value of every axis with every value of the others, the last axis fastest; less those that
/// are left out; and then some more.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// The names of the axes and their values.
    axes: Vec<(String, Items)>,
    /// Which combinations of the axes there are, in their order; all for `None`.
    kept: Option<Vec<u32>>,
    /// How many combinations of the axes there are.
    combined: u32,
    /// Further ones, each with a value for every axis.
    included: Vec<Vec<Value>>,
}

impl Matrix {
    /// The combinations of `axes` but those at the places where `excluded` is true, and then
    /// `included`, of which each has a value for every axis. `None` if there are more than a number
    /// of 32 bits can say.
    pub fn new(
        axes: Vec<(String, Items)>,
        excluded: &[bool],
        included: Vec<Vec<Value>>,
    ) -> Option<Self> {
        let all = product(axes.iter().map(|(_, values)| values.len()))?;
        let all = u32::try_from(all).ok()?;
        let is_kept = |place: &u32| excluded.get(*place as usize) != Some(&true);
        let kept = excluded.contains(&true).then(|| (0..all).filter(is_kept).collect::<Vec<_>>());
        let combined = kept.as_ref().map_or(all, |kept| kept.len() as u32);
        combined.checked_add(u32::try_from(included.len()).ok()?)?;
        Some(Self { axes, kept, combined, included })
    }

    /// The number of combinations.
    pub fn len(&self) -> usize {
        self.combined as usize + self.included.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values of an axis.
    pub fn axis(&self, name: &str) -> Option<&Items> {
        self.axes.iter().find(|(axis, _)| axis == name).map(|(_, values)| values)
    }

    /// The names of the axes.
    pub fn axes(&self) -> impl Iterator<Item = &str> {
        self.axes.iter().map(|(name, _)| name.as_str())
    }

    /// The combination at `index`, a map with a value for each axis; `None` beyond the last one.
    pub fn get(&self, index: u32) -> Option<Value> {
        let values = match index.checked_sub(self.combined) {
            Some(further) => self.included.get(further as usize)?.clone(),
            None => {
                self.combination(self.kept.as_ref().map_or(index, |kept| kept[index as usize]))?
            }
        };
        Some(Value::Map(self.axes().map(str::to_owned).zip(values).collect()))
    }

    /// The values at a place among all combinations of the axes.
    fn combination(&self, mut place: u32) -> Option<Vec<Value>> {
        let mut values: Vec<Value> = Vec::with_capacity(self.axes.len());
        for (_, axis) in self.axes.iter().rev() {
            let len = axis.len() as u32;
            values.push(axis.get(place.checked_rem(len)?)?);
            place /= len;
        }
        values.reverse();
        Some(values)
    }
}

/// How many combinations lists of these lengths have; `None` if no number of 128 bits can say it.
pub fn product(lengths: impl IntoIterator<Item = usize>) -> Option<u128> {
    let mut lengths = lengths.into_iter().map(|length| length as u128);
    let product = lengths.by_ref().try_fold(1, u128::checked_mul);
    // One that is empty makes all others count for nothing, however many they are.
    if product.is_none() && lengths.any(|length| length == 0) { Some(0) } else { product }
}
