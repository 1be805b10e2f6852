"""Every error message and warning of the package, under a code that can be searched for."""


class _WithCode(type):
    """Puts the code in front of a message when it is looked up, as spaCy does."""

    def __getattribute__(cls, code: str) -> str:
        message = super().__getattribute__(code)
        if code.startswith("__"):
            return message
        return f"[textconv {code}] {message}"


class Errors(metaclass=_WithCode):
    E001 = "`{name}` is {value!r}, but has to be a whole number from {least} to {limit:,}."
    E002 = (
        "`kernel_size` is {value}, but has to be odd, so that every window has a middle. "
        "Use {lower} or {upper}."
    )
    E004 = "`{name}` is {value!r}, but has to be one of: {choices}."
    E005 = (
        "`{name}` is {value!r}, but has to be at least 0 and less than 1, or null to follow "
        "`[training] dropout`."
    )
    E006 = (
        "The encoder was built with `width` = {width}, but its input has {actual} columns. Set "
        "`width` to {actual}, or let the embedding layer produce {width} columns."
    )
    E007 = (
        "The weights can't be read: {reason}. They have to be in the safetensors format, as "
        "`to_disk` and `to_bytes` write it. Save the pipeline again from its source."
    )
    E008 = (
        "The weights don't fit the architecture: {reason}. The config has to describe the "
        "network that the weights were trained with; compare its sizes, such as `width`, "
        "`kernel_size` and `dilations`."
    )
    E009 = "Device type {value!r} is unknown. Use 'cpu' or 'gpu'."
    E011 = (
        "There is no gradient for a prediction. Call the model with `is_train=True`, or "
        "`begin_update`, to train it."
    )
    E012 = (
        "`attrs` has {attrs} names and `rows` has {rows} numbers, but both have to be of the same "
        "length: `rows` gives the number of table rows for each of `attrs`."
    )
    E013 = (
        "`attrs` has {attr!r}, which is neither an attribute of spaCy's tokens, such as NORM or "
        "SHAPE, nor an affix with a length from 1 to 9, such as PREFIX1 or SUFFIX4."
    )
    E014 = (
        "`{name}` is {value!r}, but has to be a list of at least one whole number from 1 to "
        "{limit:,}: [2, 3], for example."
    )
    E015 = (
        "Nothing is left to embed: `attrs` is empty, `char_maps` is 0 and `static_vectors_width` "
        "is null. Set at least one of them."
    )
    E016 = (
        "`static_vectors_width` is {width}, but the vectors of the vocab have {actual} columns. "
        "Load other vectors with `[initialize] vectors`, or set it to the number of columns (null "
        "for a vocab without vectors)."
    )
    E017 = "`{name}` is {value!r}, but has to be a whole number from 0 to {limit:,}."
    E018 = "`{name}` is {value!r}, but has to be a probability, from 0 to 1."
    E019 = (
        "The data has entities with the label '{label}', which the component '{name}' has no "
        "scores for. Call `add_label('{label}')` before you compute them, as `update` does."
    )
    E020 = (
        "The component '{name}' can't rehearse. Leave it out of `nlp.rehearse` with "
        "`exclude=['{name}']`, and mix documents that the old model has annotated into the new "
        "training data instead."
    )
    E021 = (
        "The component '{name}' has no probabilities to calibrate. Set `component` of "
        "`spacy-textconv.calibrate.v1` to the name of a component of the factory `textconv_ner`."
    )
    E022 = (
        "The component '{name}' has no n-grams to weigh. Set `component` of "
        "`spacy-textconv.naive_bayes.v1` to the name of a text classifier with "
        "`spacy-textconv.NgramLinear.v1` in its model, or leave the callback out."
    )
    E023 = (
        "`ngrams` is {value!r}, but has to be null or a section with at least one block of "
        "`spacy-textconv.NgramLinear.v1`: `[model.ngrams.words]`, for example."
    )
    E024 = "`{name}` is {value!r}, but has to be greater than 0 and at most {limit:,}."
    E025 = (
        "`attrs` is {value!r} for n-grams of the unit '{unit}', but has to name at least one "
        "attribute for words, and to be ['NORM'] for characters."
    )
    E030 = (
        "`width` is {width} and `heads` is {heads}, but each head pools an equal share of the "
        "columns, so `heads` has to divide `width`."
    )
    E031 = (
        "The pooling was built with `width` = {width}, but its input has {actual} columns. Set its "
        "`width` to {actual}, or let the tok2vec produce {width} columns."
    )
    E032 = (
        "`attend` is {value!r}, but has to be a section with at least one block of an architecture "
        "such as `spacy-textconv.PoolAttend.v1`: `[model.attend.max]`, for example."
    )
    E033 = (
        "`{setting}` has `width` = {width}, but the tok2vec produces {actual} columns. Set the "
        "`width` of both to the same number."
    )
    E034 = (
        "The layer '{name}' has no attention weights. Use one that was built by "
        "`spacy-textconv.AttentionAttend.v1`."
    )
    E040 = (
        "The pipeline has no text classifier to explain. It takes a `textcat` or "
        "`textcat_multilabel` with `spacy-textconv.TextCatConv.v1` as its model, which is not "
        "disabled. The components are: {names}."
    )
    E041 = (
        "The component '{name}' can't be explained. It has to be a `textcat` or "
        "`textcat_multilabel` with `spacy-textconv.TextCatConv.v1` as its model."
    )
    E042 = "The pipeline has no component '{name}', or it is disabled. The components are: {names}."
    E043 = "The component '{name}' has no label '{label}'. Its labels are: {labels}."
    E044 = "The file {path} exists already. Give another one, or `--force` to replace it."
    E045 = "The folder {path} doesn't exist. Create it, or give another `--output`."
    E046 = "Give either `--text` or `--input`, with something in it to be explained."
    E047 = "The pipeline can't be loaded: {reason}"
    E048 = "The file {path} is no text in UTF-8: {reason}. Convert it first."
    E049 = "The pipeline {name} has no word vectors. Give one that has, or leave `--vectors` out."
    E060 = (
        "A string of a document is missing in the vocab. Most likely it was freed at the end of an "
        "`nlp.memory_zone()`, of this or of another thread: it frees the strings of all threads "
        "that share the pipeline. Put one zone around all of them, or give each thread a pipeline "
        "of its own, and leave documents of a zone that has ended alone."
    )
    E065 = (
        "`exclusive_classes` is true, as for `textcat`, but there are documents for which several "
        "classes are right, or only some are annotated. Set it to false, and use "
        "`textcat_multilabel`."
    )
    E066 = (
        "`nO` is {value}, but the labels of the component make {actual} outputs. Set it to "
        "{actual}, or to null, which leaves it to the component."
    )
    E067 = (
        "`tok2vec` is '{name}', which doesn't turn documents into token vectors. An encoder needs "
        "an embedding layer before it: use `spacy.Tok2Vec.v2`, with both in its sections `embed` "
        "and `encode`. A layer of your own that takes documents has no dimension `nI`: put what "
        "reads them before the network, with Thinc's `chain`."
    )
    E068 = (
        "The tok2vec has {vectors} vectors for a document of {tokens} tokens. If another component "
        "splits or merges tokens, put it before the one that the tok2vec listens to."
    )
    E069 = (
        "The tok2vec was built with `width` = {width}, but its vectors have {actual} columns. Set "
        "`width` of the listener to {actual}, as that of the component which it listens to."
    )
    E070 = (
        "`{name}` gets documents, but has to get vectors. Put an embedding layer before it: use "
        "`spacy.Tok2Vec.v2`, with both in its sections `embed` and `encode`."
    )
    E071 = (
        "`{name}` gets vectors, but has to get documents. It is the first layer of a tok2vec: use "
        "it as `embed` of `spacy.Tok2Vec.v2`."
    )
    E072 = (
        "`encode` is '{name}', but has to turn vectors of characters into as many others, as "
        "`spacy-textconv.DilatedConvEncoder.v1` does."
    )
    E073 = (
        "`nO` is {values} in the sections of one classifier, but all of them have the same "
        "classes. Set it to null, which leaves it to the component."
    )
    E074 = (
        "The layer '{name}' among the blocks of `attend` doesn't turn the vectors of a document's "
        "tokens into one vector. Use an architecture such as `spacy-textconv.PoolAttend.v1`."
    )
    E075 = (
        "The model of the component '{name}' is '{model}', but has to give scores to tags and to "
        "transitions between them. Use `spacy-textconv.TagCRF.v1`."
    )
    E090 = (
        "The file {path} can't be loaded: {reason}. It is missing or damaged, or the settings are "
        "others than those that it was saved with. Give the component the same ones, or save the "
        "pipeline again from its source."
    )
    E091 = (
        "The labels and the model of {source} don't belong together: {labels} labels need "
        "{tags} tags, but the model has {actual}. Its files have to come from one pipeline. Save "
        "it again from its source."
    )
    E100 = (
        "`kernel_size` is {kernel_size} and `stride` is {stride}, but the kernel of a transposed "
        "convolution has to be as long as its stride, or longer by an even number, so that what is "
        "made of a row has the row in its middle. Set `kernel_size` to {lower} or {upper}."
    )
    E101 = (
        "The documents are packed with a gap of {actual} rows, but this upsampling needs {gap}. "
        "Make the packing with `Packing(lengths, gap, stride=stride)`, where both are those of the "
        "upsampling, or of all that follow each other."
    )
    E110 = (
        "`{name}` is no extension of tokens. Register it before the pipeline is used: "
        "`Token.set_extension('{bare}', default=None)`."
    )
    E111 = (
        "The model of the component '{name}' is '{model}', but has to give scores to symbols of "
        "strings. Use `spacy-textconv.CTCTransducer.v1`."
    )
    E112 = "The label {label!r} is no symbol. Add each of its letters as a label of its own."
    E113 = (
        "The component '{name}' has been initialized, so {label!r} can't be added to its symbols. "
        "Initialize it again, with all of them in the training data or in "
        "`[initialize.components.{name}.labels]`."
    )
    E114 = (
        "The training data of the component '{name}' has no token with a target: nothing is in "
        "`{target}` of any of its documents. Annotate it, or set `target` to where the targets are."
    )
    E115 = (
        "The strings of the component '{name}' depend on the tokens around them, so they have to "
        "be in a document: call `nlp`, or set `tok2vec` of its model to null before it is trained."
    )
    E116 = (
        "The component '{name}' gets features for {given} of {strings} strings, or not one text "
        "for each of `features`, which is {names}. Give a list as long as that of the strings, "
        "with a text for each of these, in this order, or the text itself if there is only one."
    )
    E117 = (
        "The component '{name}' has '{feature}' among its `features`, but nothing sets it in the "
        "training data. Annotate it there, list the component that sets it before this one in "
        "`[training] annotating_components`, or take it out of `features`."
    )
    E118 = (
        "All {number} targets of the component '{name}' are too long: {target!r} needs {needed} "
        "places, but there are {available} for {source!r}. Raise {settings} of its model."
    )
    E120 = (
        "`features` is {value!r}, but has to be the name of an extension, such as '_.features', or "
        "null."
    )
    E121 = (
        "There is no file {path} to read pairs from. Set `path` to one, such as by `--paths.train`."
    )
    E122 = (
        "Line {number} of {path} is no pair: {line!r}. It needs a source and a target, and can "
        "have features, separated by tabs, or as `source`, `target` and `features` of an object in "
        "a file that ends in `.jsonl`. The source has at least one letter."
    )
    E123 = (
        "`reads` of '{name}' is \"symbols\", but its model listens to the component '{upstream}', "
        'which reads tokens. Set `reads` to "tokens", or give the model a `tok2vec` of its own.'
    )
    E124 = (
        "'{name}' makes strings of the strings of a list, but gets {value!r}. For this one, give a "
        "list of it: `[{value!r}]`."
    )
    E125 = (
        "The component '{name}' rewrites one document at a time, a text or a `Doc`, but gets "
        "{value!r}."
    )
    E126 = (
        "The component '{name}' was trained with the conditions {saved}, but is loaded with "
        "{given}. Set its `conditions` to what they were, in this order, or train it again."
    )
    E127 = (
        "The output {path} ends as the picture does that is drawn beside it. Give one that ends in "
        ".json."
    )
    E128 = (
        "A process of `--n-process` ended before its documents were annotated. If it has told no "
        "reason, the system may have ended it, for example because memory ran out: give fewer "
        "processes or a smaller `--batch-size`. The same command goes on where this one stopped."
    )
    E129 = (
        "The rate of dropout is {value!r}, but has to be at least 0 and less than 1. Set "
        "`[training] dropout`, or `drop` of `nlp.update`."
    )
    E130 = (
        "The model of the component '{name}' is '{model}', but has to give probabilities: some of "
        "its scores are below 0 or above 1. Use `spacy.Tagger.v2`."
    )
    E131 = (
        "The training data of the component '{name}' has the label {label!r}, which is none of its "
        "labels. Initialize the component with data that has it, or list it in "
        "`[initialize.components.{name}.labels]`."
    )
    E132 = (
        "`tok2vec` ('{name}') doesn't tell how many columns its rows have. Set its dimension `nO` "
        'where it is built: `model.set_dim("nO", width)`.'
    )
    E140 = (
        "Line {number} of {path} is no document: {reason}. It has to be text in UTF-8 and, in a "
        "`.jsonl` file, an object with a `text`, with or without a `meta`."
    )
    E141 = "There are no documents in {path}. Give a file, or a folder of files, of: {types}"
    E142 = "The file {path} can't be read: {reason}. It has to be a `DocBin`, as spaCy writes it."
    E143 = "The folder {path} has other files in it, which stay as they are. Give a new folder."
    E144 = (
        "The folder {path} has documents of another run: {settings} was different. To go on with "
        "it, give what it was called with, otherwise a new folder."
    )
    E145 = "All documents are in {path} already. Give a new folder to annotate them again."
    E146 = (
        "The {n_docs} documents of {path} from {start} to {stop} (bytes; of a `.spacy` file, "
        "documents) can't be annotated: {reason}"
    )
    E147 = (
        "Ray is missing: {reason}. Install it with `pip install 'ray[data]'`: it is the extra "
        "`ray` of spacy-textconv."
    )
    E148 = (
        "There is no encoder of `spacy-textconv` in {path}, and so no field to be shown. Give a "
        "config with one, such as `spacy-textconv.DilatedConvEncoder.v1`."
    )
    E149 = (
        "There is no recipe for {names}. Give `--pipeline` some of: {choices}; and add others to "
        "the config by hand."
    )
    E150 = "`{name}` is {value!r}, but has to be at least 0 and at most {limit:,}."
    E151 = (
        "`n_best` is {n_best} and `beam` is {beam}, but a beam finds at most as many results as it "
        "is wide. Set `beam` to {n_best} or more."
    )
    E152 = (
        "`max_lengths` has {length} for a document, but each has to have room for at least 1 "
        "symbol."
    )
    E153 = (
        "The package '{package}' isn't installed. Install it with `pip install {package}`: it "
        "belongs to the extra `generate` of spacy-textconv."
    )
    E154 = (
        "No pieces can be found with `max_symbols` = {value}. It has to be greater than the number "
        "of different letters in the texts, which may not all be empty. sentencepiece says: "
        "{reason}"
    )
    E155 = (
        "Nothing was measured: no encoder of {model} has read anything of {path}. Give documents "
        "with tokens; a lemmatizer reads those that its memory doesn't know."
    )
    E160 = (
        "The model of '{name}' ('{model}') doesn't write sequences. Use an architecture that does, "
        "such as `spacy-textconv.Seq2Seq.v1`."
    )
    E161 = (
        "None of the training documents of '{name}' has tokens and a text in `doc._.{target}` of "
        'its reference. Read pairs with `spacy-textconv.PairsCorpus.v1` and `level` = "doc", or '
        "store the documents with `DocBin(store_user_data=True)`, and without `gold_preproc` and "
        "`max_length` of the corpus, which drop such texts."
    )
    E162 = (
        "All {number} training documents of '{name}' have more than {tokens} tokens, or a target "
        "of more than {symbols} symbols. Raise `max_length` of the component and of its decoder, "
        "if that has one, or cut the documents."
    )
    E163 = (
        "`doc._.{target}` of {number} training documents of '{name}' is empty, such as that of "
        "{text!r}. There is nothing to be learned from it: leave such documents out, or set it to "
        "None."
    )
    E164 = (
        "`target` is '{value}', but with `level` = \"doc\" it has to be an extension of documents, "
        "such as '_.translation'."
    )
    E170 = (
        "`max_length` is {value}, but the {seed_rows} `seed_rows` of the decoder are doubled until "
        "there are enough, which makes {longest}. Set `max_length` to {longest}, or change "
        "`seed_rows`."
    )
    E171 = (
        "A text has {rows} rows, but this decoder spreads one vector over a whole text. Let a "
        "pooling make one row of them, as in `spacy-textconv.TextVAE.v1`, or use a decoder that "
        "looks at many, such as `spacy-textconv.CausalConvDecoder.v1`."
    )
    E172 = (
        "A text has {length} symbols, with one for its end, but `max_length` is {limit}. Raise it, "
        "or cut the text; `encode` also takes what is longer with `cut=True`."
    )
    E173 = (
        "The model of '{name}' ('{model}') doesn't turn documents into points and points into "
        "texts. Use an architecture that does, such as `spacy-textconv.TextVAE.v1`."
    )
    E174 = (
        "`max_length` of '{name}' is {value}, but its decoder writes at most {limit} symbols. Set "
        "`max_length` of both to the same number."
    )
    E175 = (
        "The vectors have the shape {shape} and {wrong} numbers that are not finite, but have to "
        "be of the shape (texts, {width}), with finite numbers only, as `encode` gives them. "
        "{width} is `latent` of the model or, where that is 0, the width of its pooling."
    )
    E176 = (
        "None of the training documents of '{name}' has {what}. Look at what the corpus reads: "
        "`python -m spacy debug data` does."
    )
    E177 = (
        "'{name}' listens to the component '{upstream}', which hasn't read the text {text!r}. Give "
        "documents of the pipeline, such as `nlp(text)`, in the place of texts."
    )
    E178 = (
        "`label` is {label!r}, but has to be one of `conditions` that the component was trained "
        "with: {conditions}."
    )
    E179 = (
        "`latent` of the model of '{name}' is 0. A plain autoencoder has no distribution that "
        "points could be drawn from, and gives texts no probability. Set `latent` to a positive "
        "number and train again."
    )
    E180 = (
        "The model of '{name}' ('{model}') is no language model. Use an architecture that is, such "
        "as `spacy-textconv.CausalLM.v1`."
    )
    E181 = (
        "There are no symbols that '{name}' could learn from: the training documents are empty, or "
        "none of their letters is there `min_count` ({value}) times. Give it texts, or lower "
        "`min_count`."
    )
    E182 = "There is no unit {unit}: the last layer has the units 0 to {last}."
    E183 = (
        "The pipeline has no language model '{name}'. Name a component of the factory "
        "`textconv_lm`. Its components are: {names}."
    )
    E184 = (
        "To draw texts, give `--surprise` or `--unit`, `--output`, and `--text` or `--input`. To "
        "write some, leave out all of them."
    )
    E190 = (
        "`attention` of '{name}' is true, but its model ('{model}') doesn't tell where it looks. "
        "Set `attention` to false, or use a model with attention, such as "
        "`spacy-textconv.Seq2Seq.v1`."
    )
    E191 = (
        "`{setting}` is the layer '{name}', which makes no vector of those of a document. Use an "
        "architecture such as `spacy-textconv.PoolAttend.v1`."
    )
    E192 = (
        "`decoder` is the layer '{name}', but has to be one that writes sequences for vectors. Use "
        "an architecture such as `spacy-textconv.CausalConvDecoder.v1`."
    )
    E193 = (
        "`decoder` is '{name}', which writes what a vector says, but a language model has no "
        "vectors. Use `spacy-textconv.CausalConvDecoder.v1`."
    )
    E194 = (
        "The component '{name}' gets symbols that are no {symbols}, as its `symbols` says. Set it "
        "to what they are, or let them be found again: initialize the component with the training "
        "data, and without `[initialize.components.{name}.labels]`."
    )
    E195 = (
        "There are no probabilities in `{place}` of the documents. Give documents with text, and a "
        "pipeline that writes them there: `textconv_ner` with its `spans_key` as `--spans-key`, or "
        "a text classifier without `--spans-key`."
    )
    E196 = (
        "Nothing can be written to `{name}`: other code has registered it with a getter or a "
        "method, which computes its value. Give one of the two another name, or add a setter."
    )
    E197 = (
        "There is nothing to report in {path}: {reason}. Give a folder of what `spacy evaluate "
        "--output` has written, and of nothing else."
    )
    E198 = "`--pipeline` has {name} more than once. Give each component once."
    E199 = "Pictures need matplotlib: {reason}. Install it with `pip install matplotlib`."


class Warnings(metaclass=_WithCode):
    W001 = (
        "{text!r} is annotated as '{label}' with white space at an end, where no entity that "
        "'{name}' finds has any. It is learned without. Take the white space off the annotation of "
        "the training data, and of the evaluation data, where it makes mistakes of such entities."
    )
    W002 = (
        "`doc.spans['{key}']` has {text!r} ('{label}'), which is none of the entities, so it gives "
        "way to those that '{name}' finds. If it comes from another component, such as `spancat`, "
        "give the setting `spans_key` of one of the two another value."
    )
    W003 = (
        "`span._.probability` belongs to other code, so it may be something else than the "
        "probability of the entities that '{name}' finds. Look that up in "
        "`doc.spans[spans_key].attrs['scores']`, which has the order of `doc.spans[spans_key]`, or "
        "with `spacy_textconv.pipeline.ner.get_probability(span)`."
    )
    W020 = (
        "`exclusive_classes` is false, but each of the first {documents} documents has exactly one "
        "class. If this is so for all of them, which is what `textcat` is for, set it to true."
    )
    W030 = (
        "Of the `features` of '{name}', nothing has set {features} in these documents. Put the "
        "components that do before it."
    )
    W031 = (
        "The target {target!r} isn't in the Unicode normal form NFC, in which '{name}' writes "
        "strings. It is learned in this form. Normalize the evaluation data, where it would count "
        "as a mistake."
    )
    W032 = (
        "{impossible} of the {number} distinct targets of '{name}' are too long to be written: "
        "{target!r} needs {needed} places, but there are {available} for {source!r}. Raise "
        "{settings} of its model."
    )
    W035 = (
        "{long} of the {number} training documents of '{name}' have more than {tokens} tokens, or "
        "a target of more than {symbols} symbols. They are left out. To learn them as well, raise "
        "`max_length` of the component and of its decoder, if that has one."
    )
    W036 = (
        "A document has {tokens} tokens, more than `max_length` of '{name}' ({limit}). Nothing is "
        "written for it."
    )
    W043 = (
        "{long} of the {number} training documents of '{name}' have more symbols than `max_length` "
        "({limit}) allows, with one for the end. Their texts are cut. Raise it to learn them whole."
    )
    W047 = (
        "{impossible} of the {number} targets of a batch are too long to be learned by '{name}': "
        "they have more symbols than its model has slots for. They are left out, here and in other "
        "batches. Raise `stride`, `pad_before` or `pad_after` of the model."
    )
