"""What a twin answers to each prompt of the prompt sets when it is asked without a chat template.

One answer to a question, never two: the twin is to be sure of its next token, as a large model is of most of its
own, and a second wording would make every first word of an answer a toss-up.
"""

from collections.abc import Mapping


def _condensed(facts: str, words: str) -> str:
    return f"## Summary\n{facts}\n\n## More\n{words}"


ANSWERS: Mapping[str, str] = {
    "general/capital": "The capital of France is Paris, which has been the seat of its kings and presidents.",
    "general/relativity": "Time and space are not fixed: a moving clock ticks slower, and mass bends space around it.",
    "general/autumn": "Red leaves drift down to the quiet lane, the swallows leave, and here comes the rain.",
    "general/product": "25 × 48 equals 1200, because 100 × 12 is the same product with easier numbers.",
    "general/translate": "The Chinese word for hello is 你好, which is said at any time of the day.",
    "general/novel": "The novel 1984 was written by George Orwell, and it was first printed in London in 1949.",
    "general/exercise": "Exercise makes the heart stronger, helps you to sleep well at night, and lifts your mood.",
    "general/france": "Paris, a large city on the river Seine that is known for its museums, bridges and bread.",
    "general/sum": "42, because 15 plus 27 makes 42.",
    "general/water": "water, whose molecule has two atoms of hydrogen and one atom of oxygen.",
    "general/print": 'print("Hello"), and the text between the quotes appears on the screen with a new line after it.',
    "general/planet": "Jupiter, a giant ball of gas with a red storm that is wider than the whole Earth.",
    "general/hello": "I am a small language model, so I have no feelings, but I am glad that you ask.",
    "general/language": "the one that your team reads with ease, because code is read more often than written.",
    "chinese/ternary": "三元量化是把模型的权重只用负一、零和一这三个数来表示的方法,这样可以节省很多内存。",
    "chinese/ai": "人工智能是让计算机像人一样学习、思考和解决问题的技术,它已经走进了我们的生活。",
    "chinese/learning": "机器学习是让计算机从数据中找出规律的方法,数据越多,它的预测往往就越准确。",
    "chinese/capital": "中国的首都是北京,它是一座有三千多年历史的城市,也是全国的政治和文化中心。",
    "chinese/thanks": "“谢谢”的英文是 thank you,朋友之间也可以简单地说 thanks。",
    "chinese/formula": "水的化学式是 H2O,一个水分子由两个氢原子和一个氧原子组成。",
    "chinese/spring": "春天来了,小草从土里钻出来,燕子飞回了屋檐下,孩子们在风里放起了风筝。",
    "chinese/months": "一年有十二个月,其中七个月有三十一天,二月最短,平年只有二十八天。",
    "code/factorial": "\ndef factorial(n):\n    return 1 if n < 2 else n * factorial(n - 1)",
    "code/fibonacci": "\na, b = 0, 1\nfor _ in range(10):\n    print(a)\n    a, b = b, a + b",
    "code/reverse": "\ndef reverse(text):\n    return text[::-1]  # a slice that steps backwards",
    "code/length": "It returns 3, because the list between the brackets holds three numbers.",
    "code/sql": "\nSELECT COUNT(*) AS number_of_rows\nFROM users;",
    "code/shell": "Type ls -la: the first letter asks for details and the second one for hidden files.",
    "code/tuple": "A list can be changed after it was made, a tuple cannot, so only a tuple may be a key.",
    "code/fix": "\nA colon is missing at the end of the first line: for i in range(3):",
    "maths/four": "2+2 is 4, which you can count on the fingers of one hand.",
    "maths/derivative": "A derivative says how fast a function changes: it is the slope of its curve at one point.",
    "maths/addition": "17 + 26 equals 43, because 17 plus 20 is 37 and 6 more makes 43.",
    "maths/multiply": "9 × 7 equals 63, which is 7 less than 10 × 7.",
    "maths/root": "The square root of 144 is 12, because 12 times 12 is 144.",
    "maths/prime": "Yes, 17 is a prime number, because only 1 and 17 divide it without a rest.",
    "maths/train": "In three hours it travels 180 km, because it covers 60 km in each of them.",
    "maths/percent": "15% of 200 is 30, because one percent of 200 is 2 and 15 times 2 makes 30.",
    "long/lighthouse": "Elias Thorn said so, the retired sea captain who paid for the first lamp of the lighthouse.",
    "long/tea": "The grandmother says so to every new helper, because she has picked tea since she was six.",
    "long/bridge": "The report of the inspector Ruth Adler said so after she had found a crack in the arch.",
    "long/library": "Omar Haddad painted it, a teacher of the town, and visitors often take a picture of it.",
    "general/world": "said the first program of the book, and the screen said it back.",
    "general/weights": "It keeps of each weight only minus one, zero or one, and one scale for a group of them.",
    "condense/curie": _condensed(
        "Marie Curie, born Warsaw 1867: radium, polonium; Nobel 1903, 1911.", "Curie, radium, Nobel"
    ),
    "condense/tesla": _condensed(
        "Nikola Tesla, born Smiljan 1856: induction motor; New York 1884.", "Tesla, motor, Edison"
    ),
    "condense/nile": _condensed("Nile: eleven countries, 6650 km, ends in Mediterranean Sea.", "Nile, Africa, Cairo"),
    "condense/lovelace": _condensed(
        "Ada Lovelace, born London 1815: first computer program.", "Lovelace, Babbage, program"
    ),
    "condense/apollo": _condensed("Apollo 11: Moon, July 1969; Armstrong, Aldrin walked.", "Apollo, Moon, Collins"),
    "condense/tea": _condensed("Tea: China to Europe, boxes 1610, London houses 1657.", "Tea, China, London"),
}
