/* base/vector.h: vector registers, in which memcpy() and its like leave the last bytes that they moved: payload and keys,
 * which core files would show as registers of the thread. */
#pragma once

/* Zeroes those that no caller keeps. Some nanoseconds; for where a thread is about to wait. */
void vector_wipe(void);
