#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <elf.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <unistd.h>
#include <cmocka.h>

#include "crash/core_file.h"

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#else
#define MACHINE EM_AARCH64
#endif

/* A core file in the making. */
struct making {
    unsigned char data[16384];
    size_t len;
};

static void put(struct making *m, const void *data, size_t len)
{
    assert_true(m->len + len <= sizeof(m->data));
    memcpy(m->data + m->len, data, len);
    m->len += len;
}

static void put_note(struct making *m, uint32_t type, const void *data, size_t len)
{
    static const char zeroes[4];
    const Elf64_Nhdr head = { .n_namesz = 5, .n_descsz = (uint32_t)len, .n_type = type };
    put(m, &head, sizeof(head));
    put(m, "CORE\0\0\0", 8);
    put(m, data, len);
    put(m, zeroes, (4 - len % 4) % 4);
}

static void put_status(struct making *m, int tid, int signal)
{
    struct elf_prstatus status = { .pr_pid = tid, .pr_cursig = (short)signal };
    put_note(m, NT_PRSTATUS, &status, sizeof(status));
}

static void put_notes(struct making *m)
{
    struct elf_prpsinfo process = { .pr_pid = 41, .pr_fname = "weir", .pr_psargs = "weir run\n-c x" };
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    info.si_signo = 11;
    put_status(m, 42, 11);
    put_note(m, NT_PRPSINFO, &process, sizeof(process));
    put_note(m, NT_SIGINFO, &info, sizeof(info));
    const struct {
        uint64_t words[8];
        char names[18];
    } files = { { 2, 4096, 0x400000, 0x402000, 0, 0x402000, 0x403000, 2 }, "/bin/weir\0/bin/ls" };
    put_note(m, NT_FILE, &files, sizeof(files.words) + sizeof(files.names));
    put_status(m, 43, 0);
}

/* Memory of 0x10000 to 0x10100, 0x10100 to 0x10180, and one of which the file has but half. */
static const Elf64_Phdr loads[] = {
    { .p_type = PT_LOAD, .p_vaddr = 0x10100, .p_filesz = 0x80, .p_memsz = 0x80, .p_flags = PF_R },
    { .p_type = PT_LOAD, .p_vaddr = 0x10000, .p_filesz = 0x100, .p_memsz = 0x100, .p_flags = PF_R | PF_W },
    { .p_type = PT_LOAD, .p_vaddr = 0x20000, .p_filesz = 0x40, .p_memsz = 0x80, .p_flags = PF_R },
};
#define LOADS (sizeof(loads) / sizeof(*loads))

static void make(struct making *m)
{
    Elf64_Ehdr h = { .e_type = ET_CORE,
                     .e_machine = MACHINE,
                     .e_phoff = sizeof(h),
                     .e_phentsize = sizeof(Elf64_Phdr),
                     .e_phnum = LOADS + 1 };
    memcpy(h.e_ident, ELFMAG, SELFMAG);
    h.e_ident[EI_CLASS] = ELFCLASS64;
    h.e_ident[EI_DATA] = ELFDATA2LSB;
    m->len = sizeof(h) + (LOADS + 1) * sizeof(Elf64_Phdr);
    size_t notes_at = m->len;
    put_notes(m);
    Elf64_Phdr notes = { .p_type = PT_NOTE, .p_offset = notes_at, .p_filesz = m->len - notes_at };
    memcpy(m->data, &h, sizeof(h));
    memcpy(m->data + sizeof(h), &notes, sizeof(notes));
    for (size_t i = 0; i < LOADS; i++) {
        Elf64_Phdr p = loads[i];
        p.p_offset = m->len;
        memcpy(m->data + sizeof(h) + (i + 1) * sizeof(p), &p, sizeof(p));
        for (uint64_t k = 0; k < p.p_filesz; k++) {
            unsigned char byte = (unsigned char)((p.p_vaddr + k) >> 4);
            put(m, &byte, 1);
        }
    }
}

static int read_core(struct image *i, const struct making *m, struct err *err)
{
    int fd = memfd_create("core", MFD_CLOEXEC);
    assert_int_equal(write(fd, m->data, m->len), m->len);
    image_init(i);
    return core_file_read(i, fd, err);
}

static void a_core_has_threads_process_signal_and_files(void **state)
{
    (void)state;
    struct making m;
    struct image i;
    struct err err = { "" };
    char memory[64];
    struct text t = text_over(memory, sizeof(memory));
    make(&m);
    assert_int_equal(read_core(&i, &m, &err), 0);
    assert_int_equal(i.thread_count, 2);
    assert_int_equal(i.threads[0].tid, 42);
    assert_int_equal(i.threads[0].signal, 11);
    assert_int_equal(i.threads[1].tid, 43);
    assert_int_equal(i.pid, 41);
    assert_string_equal(i.program, "weir");
    assert_string_equal(i.arguments, "weir run?-c x");
    assert_int_equal(i.info.si_signo, 11);
    assert_int_equal(i.file_count, 2);
    assert_string_equal(i.files[1].path, "/bin/ls");
    assert_int_equal(i.files[1].offset, 8192);
    image_print_address(&i, 0x401234, &t);
    text_add_char(&t, ' ');
    image_print_address(&i, 0x403000, &t);
    assert_string_equal(text_cstr(&t), "weir+0x1234 ?");
    image_fini(&i);
}

static void memory_is_read_across_segments_and_not_beyond(void **state)
{
    (void)state;
    struct making m;
    struct image i;
    struct err err;
    unsigned char bytes[0x180];
    make(&m);
    assert_int_equal(read_core(&i, &m, &err), 0);
    assert_true(memory_read(&i.memory, 0x10000, bytes, sizeof(bytes)));
    assert_int_equal(bytes[0xf0], 0x0f);
    assert_int_equal(bytes[0x100], 0x10);
    assert_int_equal(bytes[0x17f], 0x17);
    assert_false(memory_read(&i.memory, 0x10000, bytes, sizeof(bytes) + 1));
    assert_false(memory_read(&i.memory, 0xffff, bytes, 1));
    assert_true(memory_read(&i.memory, 0x2003f, bytes, 1));
    assert_false(memory_read(&i.memory, 0x20040, bytes, 1)); /* of the process, but not in the file */
    assert_false(memory_read(&i.memory, UINT64_MAX, bytes, 8));
    image_fini(&i);
}

static void a_core_that_is_cut_anywhere_is_read_as_far_as_it_goes(void **state)
{
    (void)state;
    struct making m;
    make(&m);
    for (size_t whole = m.len; m.len > 0; m.len--) {
        struct image i;
        struct err err = { "" };
        unsigned char byte;
        int result = read_core(&i, &m, &err);
        assert_true(result == 0 || err.text[0]);
        if (result == 0) assert_int_equal(memory_read(&i.memory, 0x2003f, &byte, 1), m.len == whole);
        image_fini(&i);
    }
}

static void what_is_no_core_is_refused_with_a_sentence(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        unsigned char byte;
        const char *sentence;
    } cases[] = {
        { 0, 'x', "it is no ELF file" },
        { EI_CLASS, ELFCLASS32, "it is of another kind of machine" },
        { offsetof(Elf64_Ehdr, e_type), ET_EXEC, "it is an ELF file, but no core file" },
        { offsetof(Elf64_Ehdr, e_phentsize), 9, "its program headers are of a size of their own" },
    };
    for (size_t k = 0; k < sizeof(cases) / sizeof(*cases); k++) {
        struct making m;
        struct image i;
        struct err err;
        make(&m);
        m.data[cases[k].at] = cases[k].byte;
        assert_int_equal(read_core(&i, &m, &err), -1);
        assert_string_equal(err.text, cases[k].sentence);
        image_fini(&i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_core_has_threads_process_signal_and_files),
        cmocka_unit_test(memory_is_read_across_segments_and_not_beyond),
        cmocka_unit_test(a_core_that_is_cut_anywhere_is_read_as_far_as_it_goes),
        cmocka_unit_test(what_is_no_core_is_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
