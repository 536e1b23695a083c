//! The allocator of a policy, and of nothing else.
//!
//! A policy is asked one question, answers, and its memory is gone with it; what is asked comes in as many small
//! pieces, each allocated by the host's call. So speed is all that counts: a piece is cut off the end of the memory,
//! and one that is given back is kept for the next piece of its size. Pieces are never joined and never returned.
//! Measured against Rust's own (dlmalloc): a third of the fuel of a call that only looks at its input. Switch it off
//! with `default-features = false`, for instance to bring one of your own.

use std::alloc::Layout;
use std::ptr;

/// Pieces up to this size come in steps of [`STEP`], larger ones in four steps for each doubling.
const SMALL: usize = 512;
/// Every piece is aligned to it.
const STEP: usize = 8;
const SMALL_CLASSES: usize = SMALL / STEP + 1;
const CLASSES: usize = SMALL_CLASSES + 4 * (usize::BITS - SMALL.ilog2()) as usize;
/// What WebAssembly's memory grows by.
const PAGE: usize = 64 << 10;
/// At least so many pages are asked for at a time.
const LEAST_GROWTH: usize = 4;

/// Where memory comes from.
trait Pages {
    /// So many pages more, mostly right behind those that came before. Null: there are none.
    fn more(&mut self, pages: usize) -> *mut u8;
}

struct Heap<P> {
    pages: P,
    /// What is not handed out yet.
    next: *mut u8,
    left: usize,
    /// Pieces that were given back, by class; each begins with the address of the next one.
    free: [*mut u8; CLASSES],
}

/// Class of a piece, and the size of all pieces of it.
fn class(size: usize) -> (usize, usize) {
    if size <= SMALL {
        let steps = size.div_ceil(STEP).max(1);
        return (steps, steps * STEP);
    }
    // Of what rounds up to 2^n, the upper three bits below it.
    let shift = (size - 1).ilog2() - 2;
    let rounded = (((size - 1) >> shift) + 1) << shift;
    let log = rounded.ilog2();
    (SMALL_CLASSES + 4 * (log - SMALL.ilog2()) as usize + ((rounded >> (log - 2)) & 3), rounded)
}

#[allow(unsafe_code)]
impl<P: Pages> Heap<P> {
    const fn new(pages: P) -> Self {
        Heap { pages, next: ptr::null_mut(), left: 0, free: [ptr::null_mut(); CLASSES] }
    }

    fn alloc(&mut self, layout: Layout) -> *mut u8 {
        if layout.align() > STEP || layout.size() > isize::MAX as usize / 2 {
            return self.aligned(layout);
        }
        let (class, size) = class(layout.size());
        let piece = self.free[class];
        if piece.is_null() {
            return self.cut(size);
        }
        // SAFETY: whatever lies in `free` was given back, has at least STEP bytes, and holds an address.
        self.free[class] = unsafe { piece.cast::<*mut u8>().read() };
        piece
    }

    /// Rare, and so not kept when it is given back.
    #[cold]
    fn aligned(&mut self, layout: Layout) -> *mut u8 {
        let Some(size) = layout.size().checked_add(layout.align()) else { return ptr::null_mut() };
        let piece = self.cut(size.next_multiple_of(STEP));
        if piece.is_null() { piece } else { piece.wrapping_add(piece.align_offset(layout.align())) }
    }

    /// `size` is a multiple of STEP.
    fn cut(&mut self, size: usize) -> *mut u8 {
        if size > self.left && !self.grow(size) {
            return ptr::null_mut();
        }
        let piece = self.next;
        self.next = piece.wrapping_add(size);
        self.left -= size;
        piece
    }

    #[cold]
    fn grow(&mut self, size: usize) -> bool {
        let wanted = (size - self.left).div_ceil(PAGE).max(LEAST_GROWTH);
        let more = self.pages.more(wanted);
        if more.is_null() {
            return false;
        }
        if more == self.next.wrapping_add(self.left) {
            self.left += wanted * PAGE;
            return true;
        }
        // Something else took the memory in between: what is left there is given up.
        (self.next, self.left) = (more, wanted * PAGE);
        size <= self.left || self.grow(size)
    }

    fn dealloc(&mut self, piece: *mut u8, layout: Layout) {
        if layout.align() <= STEP && layout.size() <= isize::MAX as usize / 2 {
            let (class, _) = class(layout.size());
            // SAFETY: the piece is nobody's any more, and has at least STEP bytes.
            unsafe { piece.cast::<*mut u8>().write(self.free[class]) };
            self.free[class] = piece;
        }
    }

    fn realloc(&mut self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let small = layout.align() <= STEP && layout.size().max(size) <= isize::MAX as usize / 2;
        if small && class(layout.size()) == class(size) {
            return piece;
        }
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else { return ptr::null_mut() };
        let moved = self.alloc(wanted);
        if !moved.is_null() {
            // SAFETY: both pieces are valid for the smaller of the two sizes, and different.
            unsafe { ptr::copy_nonoverlapping(piece, moved, layout.size().min(size)) };
            self.dealloc(piece, layout);
        }
        moved
    }
}

#[cfg(all(target_arch = "wasm32", feature = "allocator"))]
#[allow(unsafe_code)]
mod global {
    use std::alloc::{GlobalAlloc, Layout};
    use std::arch::wasm32::memory_grow;
    use std::cell::UnsafeCell;

    use super::{Heap, PAGE, Pages};

    struct Linear;

    impl Pages for Linear {
        fn more(&mut self, pages: usize) -> *mut u8 {
            match memory_grow::<0>(pages) {
                usize::MAX => std::ptr::null_mut(),
                before => (before * PAGE) as *mut u8,
            }
        }
    }

    struct Global(UnsafeCell<Heap<Linear>>);

    // SAFETY: a component of this contract has one thread.
    unsafe impl Sync for Global {}

    #[global_allocator]
    static GLOBAL: Global = Global(UnsafeCell::new(Heap::new(Linear)));

    // SAFETY: `Heap` hands out pieces that do not overlap, of the size and alignment that was asked for; with one
    // thread, and no call of it within another, no two borrow it at once.
    unsafe impl GlobalAlloc for Global {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            unsafe { (*self.0.get()).alloc(layout) }
        }

        unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
            unsafe { (*self.0.get()).dealloc(piece, layout) }
        }

        unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            unsafe { (*self.0.get()).realloc(piece, layout, size) }
        }
    }
}

#[cfg(test)]
#[allow(unsafe_code)]
mod tests {
    use super::*;

    /// Pages out of one block; between two growths it may lose one to somebody else.
    struct Block {
        memory: Vec<u64>,
        used: usize,
        disturbed: bool,
    }

    impl Block {
        fn of(pages: usize, disturbed: bool) -> Block {
            Block { memory: vec![u64::MAX; pages * PAGE / 8], used: 0, disturbed }
        }
    }

    impl Pages for Block {
        fn more(&mut self, pages: usize) -> *mut u8 {
            self.used += usize::from(self.disturbed) * PAGE;
            let begin = self.used;
            if begin + pages * PAGE > self.memory.len() * 8 {
                return ptr::null_mut();
            }
            self.used += pages * PAGE;
            self.memory.as_mut_ptr().cast::<u8>().wrapping_add(begin)
        }
    }

    #[test]
    fn a_class_holds_what_is_asked_for_and_little_more() {
        let mut last = 0;
        for size in (0..5_000).chain((5_000..100_000_000).step_by(4_999)) {
            let (at, room) = class(size);
            assert!(room >= size.max(STEP) && room % STEP == 0, "{size}: {room}");
            assert!(room <= size.max(STEP) * 5 / 4 + STEP, "{size}: {room}");
            assert!(at < CLASSES && class(room) == (at, room), "{size}");
            assert!(at >= last);
            last = at;
        }
    }

    /// Pieces that are in use never overlap, keep what was written into them, and are aligned; whatever the order.
    #[test]
    fn pieces_keep_their_content() {
        for disturbed in [false, true] {
            let mut heap = Heap::new(Block::of(4_000, disturbed));
            let mut pieces: Vec<(*mut u8, Layout, u8)> = Vec::new();
            let mut random: u64 = 1;
            let mut next = |below: u64| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) % below
            };
            let whole = |(piece, layout, mark): &(*mut u8, Layout, u8)| {
                // SAFETY: the piece is in use.
                let content = unsafe { std::slice::from_raw_parts(*piece, layout.size()) };
                assert!(content.iter().all(|byte| byte == mark), "a piece of {} bytes", layout.size());
            };
            for turn in 0..50_000_u32 {
                let size = match next(50) {
                    0 => next(100_000),
                    1..=5 => next(2_000),
                    _ => next(64),
                } as usize
                    + 1;
                let mark = turn as u8;
                match next(5) {
                    0 | 1 if !pieces.is_empty() => {
                        let piece = pieces.swap_remove(next(pieces.len() as u64) as usize);
                        whole(&piece);
                        heap.dealloc(piece.0, piece.1);
                    }
                    2 if !pieces.is_empty() => {
                        let at = next(pieces.len() as u64) as usize;
                        let (piece, layout, before) = pieces[at];
                        let moved = heap.realloc(piece, layout, size);
                        whole(&(moved, Layout::from_size_align(size.min(layout.size()), 1).unwrap(), before));
                        // SAFETY: the piece has this size.
                        unsafe { moved.write_bytes(mark, size) };
                        pieces[at] = (moved, Layout::from_size_align(size, layout.align()).unwrap(), mark);
                    }
                    _ => {
                        let layout = Layout::from_size_align(size, 1 << next(7)).unwrap();
                        let piece = heap.alloc(layout);
                        assert!(!piece.is_null());
                        assert_eq!(piece as usize % layout.align(), 0);
                        // SAFETY: the piece has this size.
                        unsafe { piece.write_bytes(mark, size) };
                        pieces.push((piece, layout, mark));
                    }
                }
            }
            pieces.iter().for_each(whole);
        }
    }

    #[test]
    fn what_is_given_back_is_used_again() {
        let mut heap = Heap::new(Block::of(LEAST_GROWTH, false));
        let layout = Layout::from_size_align(1_000, 8).unwrap();
        for _ in 0..100_000 {
            let piece = heap.alloc(layout);
            assert!(!piece.is_null());
            heap.dealloc(piece, layout);
        }
    }

    #[test]
    fn where_there_is_no_memory_there_is_no_piece() {
        let mut heap = Heap::new(Block::of(16, false));
        assert!(heap.alloc(Layout::from_size_align(17 * PAGE, 8).unwrap()).is_null());
        assert!(heap.alloc(Layout::from_size_align(isize::MAX as usize - 7, 8).unwrap()).is_null());
        assert!(!heap.alloc(Layout::from_size_align(PAGE, 8).unwrap()).is_null());
    }
}
