#include "stack/stack.h"

#define FRAME_DISTANCE_MAX ((uint64_t)8 << 20)

uint32_t stack_by_frame_pointers(const struct user_regs_struct *r, const struct memory_view *memory,
                                 uint64_t *pcs, uint32_t max)
{
    uint32_t count = 0;
    uint64_t fp = registers_fp(r), below = registers_sp(r);
    if (max) pcs[count++] = registers_pc(r);
    while (count < max && fp >= below && fp - below < FRAME_DISTANCE_MAX && fp % sizeof(uint64_t) == 0) {
        uint64_t frame[2]; /* the caller's frame pointer, the return address */
        if (!memory_read(memory, fp, frame, sizeof(frame)) || !frame[1]) break;
        pcs[count++] = frame[1];
        below = fp + sizeof(frame);
        fp = frame[0];
    }
    return count;
}
