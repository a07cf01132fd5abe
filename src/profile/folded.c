#include "profile/folded.h"

static void write_name(struct slice name, FILE *out)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.data[i];
        fputc(c <= ' ' || c == ';' || c == 127 ? '_' : c, out);
    }
}

void folded_write(const struct profile *p, uint32_t type, FILE *out)
{
    char memory[256];
    for (uint32_t i = 0; i < p->sample_count; i++) {
        const struct profile_sample *s = &p->samples[i];
        if (!s->values[type]) continue;
        for (uint32_t at = s->depth; at-- > 0;) {
            write_name(profile_frame_name(p, p->frames[s->stack_at + at], memory, sizeof(memory)), out);
            if (at) fputc(';', out);
        }
        fprintf(out, " %lld\n", (long long)s->values[type]);
    }
}
