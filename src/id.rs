//! Typed ids: places in the dense vectors of a graph.

/// One vertex: a future, or the gate of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// One `[[task]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u32);

/// One executor; 0 is the default one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutorId(pub u32);

/// One entry of `[resources]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(pub u32);

macro_rules! index {
    ($($id:ident),*) => {
        $(impl $id {
            /// The place of this id in a dense vector.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        })*
    };
}

index!(NodeId, TaskId, ExecutorId, ResourceId);
