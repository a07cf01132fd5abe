#include "route/split.h"

#include <inttypes.h>
#include <xxhash.h>

#include "base/address.h"
#include "base/bug.h"
#include "conf/decode.h"
#include "http/h1_scan.h"
#include "route/split_guard.h"

#define PERCENT_HUNDREDTHS 100u

static size_t digits_at(struct slice text, size_t at)
{
    size_t count = 0;
    while (at + count < text.len && h1_is(text.data[at + count], H1_DIGIT)) count++;
    return count;
}

/* The digits of `text` as a number; there are few. */
static uint32_t number_of(struct slice text)
{
    uint32_t value = 0;
    for (size_t i = 0; i < text.len; i++) value = value * 10 + (uint32_t)(text.data[i] - '0');
    return value;
}

/* 1*3DIGIT [ "." 1*2DIGIT ] [ "%" ]; false if it is anything else. */
static bool read_percent(struct slice text, uint32_t *out)
{
    size_t whole = digits_at(text, 0), decimals = 0, at = whole;
    if (whole < 1 || whole > 3 || (whole > 1 && text.data[0] == '0')) return false;
    if (at < text.len && text.data[at] == '.') {
        decimals = digits_at(text, ++at);
        if (decimals < 1 || decimals > 2) return false;
        at += decimals;
    }
    uint32_t rest = number_of((struct slice){ text.data + at - decimals, decimals });
    *out = number_of((struct slice){ text.data, whole }) * PERCENT_HUNDREDTHS +
           (decimals == 1 ? rest * 10 : rest);
    if (at < text.len && text.data[at] == '%') at++;
    return at == text.len && *out <= SPLIT_PLACES;
}

static int parse_percent(struct slice text, void *out, struct err *err)
{
    if (read_percent(text, out)) return 0;
    size_t shown = text.len < 32 ? text.len : 32;
    return err_set(err,
                   "\"%.*s\" is no percentage; write one from 0 to 100 with at most two decimals, like 12.5",
                   (int)shown, text.data);
}

static void print_percent(const void *value, struct text *out)
{
    uint32_t hundredths = *(const uint32_t *)value, decimals = hundredths % PERCENT_HUNDREDTHS;
    text_add_u64(out, hundredths / PERCENT_HUNDREDTHS);
    if (decimals % 10)
        text_printf(out, ".%02" PRIu32, decimals);
    else if (decimals)
        text_printf(out, ".%" PRIu32, decimals / 10);
    text_add_char(out, '%');
}

const struct conf_type conf_percent_type = {
    .name = "percentage",
    .size = sizeof(uint32_t),
    .parse = parse_percent,
    .print = print_percent,
    .pattern_help = "12.5",
};

static const struct conf_type pools_type = { .name = "pools" };

static const struct conf_field variant_fields[] = {
    { "name", CONF_STRING(struct split_variant_conf, name), .min = 1, .max = 64,
      .help = "What the variant is called; its key." },
    { "weight", CONF_CUSTOM(struct split_variant_conf, weight, &conf_percent_type), .flags = CONF_REQUIRED,
      .help = "Its share of the units in percent, with at most two decimals. All shares make 100." },
    { "pool", CONF_REF(struct split_variant_conf, pool, &pools_type), .flags = CONF_REQUIRED,
      .help = "Where its requests go. Variants may have the same pool." },
    { 0 },
};

static const struct conf_type variant_type = { .name = "variant",
                                               .size = sizeof(struct split_variant_conf),
                                               .fields = variant_fields };

static void check_override(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct split_override_conf *o = object;
    const char *end = o->header + strlen(o->header);
    if (h1_skip_token(o->header, end) != end)
        conf_decode_fault(d, node, "header", "", "\"%s\" has a byte that no header's name has", o->header);
    if (!o->from.count)
        conf_decode_fault(d, node, "from", "name the blocks, like [10.0.0.0/8], or leave the override out",
                          "an override from nowhere can never be used");
}

static const struct conf_field override_fields[] = {
    { "header", CONF_STRING(struct split_override_conf, header), .min = 1, .max = 256, .flags = CONF_REQUIRED,
      .help = "The header whose value is the name of the variant to take. Another name counts as none." },
    { "from", CONF_LIST(struct split_override_conf, from, &conf_cidr_type), .max = 1000,
      .flags = CONF_REQUIRED, .help = "The clients that may choose; from others the header means nothing." },
    { 0 },
};

static const struct conf_type override_type = { .name = "override",
                                                .size = sizeof(struct split_override_conf),
                                                .fields = override_fields,
                                                .check = check_override };

static void check_split(struct conf_decode *d, const struct conf_node *node, void *object)
{
    struct split_conf *s = object;
    const struct split_variant_conf *variants = s->variants.data;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < s->variants.count; i++) sum += variants[i].weight;
    if (sum != SPLIT_PLACES) {
        char memory[32];
        struct text made = text_over(memory, sizeof(memory));
        print_percent(&sum, &made);
        conf_decode_fault(d, node, "variants", "change them until they make 100%",
                          "the weights of split \"%s\" make %s", s->name, text_cstr(&made));
    }
    if (!s->salt) s->salt = s->name;
    if (s->guard && sum == SPLIT_PLACES) split_guard_check(d, node, s->guard, &s->variants);
}

static const struct conf_field split_fields[] = {
    { "name", CONF_STRING(struct split_conf, name), .min = 1, .max = 64,
      .help = "What the split is called; its key." },
    { "unit", CONF_CUSTOM(struct split_conf, unit, &http_source_type), .flags = CONF_REQUIRED,
      .help = "Who is assigned to a variant and stays with it: `header:X-User-Id`, `cookie:sid`, `client`. A "
              "request "
              "that lacks it goes by its client's address." },
    { "salt", CONF_STRING(struct split_conf, salt), .min = 1, .max = 256,
      .help = "Splits of the same salt put the same units in the same places, those of different salts are "
              "independent. The split's name if absent; changing it deals all units anew." },
    { "variants", CONF_MAP(struct split_conf, variants, &variant_type), .min = 1, .max = SPLIT_VARIANTS_MAX,
      .flags = CONF_REQUIRED,
      .help =
          "What is compared. The first is what the others are compared with, and gives and takes units when "
          "their weights change." },
    { "override", CONF_OPTIONAL(struct split_conf, override, &override_type),
      .help = "Who may choose a variant for a request; nobody if absent." },
    { "guard", CONF_OPTIONAL(struct split_conf, guard, &split_guard_conf_type),
      .help = "Gives a variant more units step by step, and takes all from it when it is certain to be worse "
              "than allowed. Nobody changes the weights if absent." },
    { "response_header", CONF_BOOL(struct split_conf, response_header), .preset = "false",
      .help = "Whether the response, too, says in `Weir-Split` which variant it was." },
    { 0 },
};

const struct conf_type split_conf_type = {
    .name = "split", .size = sizeof(struct split_conf), .fields = split_fields, .check = check_split
};

/* Van der Corput's sequence: the bits of `variant`, mirrored at the binary point. */
static uint32_t arc_start(uint32_t variant)
{
    uint32_t start = 0;
    for (uint32_t half = SPLIT_PLACES / 2; variant; variant >>= 1, half /= 2)
        if (variant & 1) start += half;
    return start;
}

/* How many places there are from a variant's start to the next one's. */
static uint32_t arc_room(uint32_t variant, uint32_t count)
{
    uint32_t room = SPLIT_PLACES;
    for (uint32_t other = 1; other < count; other++) {
        uint32_t distance = (arc_start(other) + SPLIT_PLACES - arc_start(variant)) % SPLIT_PLACES;
        if (other != variant && distance < room) room = distance;
    }
    return room;
}

/* Returns how much of the weight found no room. */
static uint32_t fill_arc(struct split_table *t, uint32_t variant, uint32_t weight, uint32_t count)
{
    uint32_t start = arc_start(variant), room = arc_room(variant, count);
    uint32_t filled = weight < room ? weight : room;
    for (uint32_t i = 0; i < filled; i++) t->variants[(start + i) % SPLIT_PLACES] = (uint8_t)variant;
    return weight - filled;
}

static void fill_backwards(struct split_table *t, uint32_t variant, uint32_t weight)
{
    uint32_t place = arc_start(variant);
    for (uint32_t seen = 0; weight && seen < SPLIT_PLACES; seen++) {
        place = (place + SPLIT_PLACES - 1) % SPLIT_PLACES;
        if (t->variants[place]) continue;
        t->variants[place] = (uint8_t)variant;
        weight--;
    }
    (void)bug_if(SPLIT, weight); /* all weights make SPLIT_PLACES: the others have left room */
}

static void fill(struct split_table *t, const uint32_t *weights, uint32_t count)
{
    uint32_t left[SPLIT_VARIANTS_MAX];
    if (bug_if(SPLIT, !count || count > SPLIT_VARIANTS_MAX)) count = 1;
    memset(t->variants, 0, sizeof(t->variants));
    for (uint32_t v = 1; v < count; v++) left[v] = fill_arc(t, v, weights[v], count);
    for (uint32_t v = 1; v < count; v++) fill_backwards(t, v, left[v]);
}

void split_table_fill(struct split_table *t, struct slice salt, const uint32_t *weights, uint32_t count)
{
    t->seed = XXH3_64bits(salt.data, salt.len);
    fill(t, weights, count);
}

void split_table_deal(struct split_table *t, const uint32_t *weights, uint32_t count)
{
    struct split_table next;
    fill(&next, weights, count);
    for (uint32_t i = 0; i < SPLIT_PLACES; i++)
        __atomic_store_n(&t->variants[i], next.variants[i], __ATOMIC_RELAXED);
}

struct split_seat split_seat(const struct split_table *t, struct slice unit)
{
    uint64_t hash = XXH3_64bits_withSeed(unit.data, unit.len, t->seed);
    return (struct split_seat){ .place = (uint16_t)(hash % SPLIT_PLACES),
                                .bucket = (uint8_t)(hash / SPLIT_PLACES % SPLIT_BUCKETS) };
}

static bool may_override(const struct split_override_conf *o, const struct ip *client)
{
    const struct cidr *from = o->from.data;
    for (uint32_t i = 0; i < o->from.count; i++)
        if (cidr_contains(&from[i], client)) return true;
    return false;
}

uint32_t split_override(const struct split_conf *conf, const struct http_template_input *in)
{
    const struct split_variant_conf *variants = conf->variants.data;
    if (!conf->override) return SPLIT_NONE;
    const struct http_field *field = http_head_find_name(in->head, slice_of(conf->override->header));
    struct slice another = field ? http_field_value(field) : SLICE_NONE;
    uint32_t at = 0;
    /* Two that differ name nothing. */
    char scratch[HTTP_SOURCE_SCRATCH];
    while (field &&
           http_source_next(HTTP_SOURCE_HEADER, slice_of(conf->override->header), in, scratch, &at, &another))
        if (!slice_equal(another, http_field_value(field))) return SPLIT_NONE;
    if (!field || !in->client || !may_override(conf->override, in->client)) return SPLIT_NONE;
    for (uint32_t i = 0; i < conf->variants.count; i++)
        if (slice_equal(slice_of(variants[i].name), http_field_value(field))) return i;
    return SPLIT_NONE;
}
