"""What people are called for short: `Bill` may be `William`. Forms of one name in other spellings count as well.

The English part is a selection of the commonest from carltonnorthern/nicknames (Apache-2.0, names.csv of June 2026)
with a few that it lacks. Vietnamese names are not shortened; what they have beside them are names used at home, which
have nothing to do with the name in the papers, so they neither prove nor disprove anybody.
"""

from __future__ import annotations

import re

_TABLE = """
    abigail: abby gail; albert: al bert; alexander: al alec alex alejandro lex sandy sasha xander;
    alexandra: alex lexi sandra sandy sasha; alfred: al alf fred freddy; allison: ali ally alison;
    amanda: mandy manda; andrew: andy drew andrei andreas; angela: angie; anna: ann anne annie;
    anthony: tony ant antonio; barbara: babs barb barbie; benjamin: ben benny benji; bradley: brad; brandon: bran;
    cameron: cam; caroline: carol carrie carolyn; catherine: cathy kate kathy katie cat kitty katherine;
    charles: charlie chuck chas carlos; charlotte: lottie charlie; christina: chris chrissy tina kristina christine;
    christine: chris chrissy tina christina; christopher: chris kit topher kris; cynthia: cindy; daniel: dan danny;
    david: dave davey; deborah: deb debbie debra; dmitri: dima dmitry; donald: don donnie; dorothy: dot dottie dolly;
    douglas: doug; edward: ed eddie ted ned eduardo; eleanor: ellie nora;
    elizabeth: liz lizzie beth betsy betty bess eliza elisabeth libby lisa liza; emily: em emmy emma; eugene: gene;
    evelyn: eve evie; florence: flo; frances: fran francie; francis: frank fran; frederick: fred freddie rick;
    gabriel: gabe; gabrielle: gabby; gerald: gerry jerry; gregory: greg; harold: hal harry; helen: ellen nell lena;
    henry: harry hank hal enrique; isabella: bella izzy isabel belle; jacob: jake; jacqueline: jackie;
    james: jim jimmy jamie jem; jeffrey: jeff geoff geoffrey; jennifer: jen jenny jenn; jessica: jess jessie;
    john: jack johnny jon jock; jonathan: jon johnny nathan jonny; jose: pepe; joseph: joe joey jos;
    josephine: jo josie; joshua: josh; judith: judy judi; katherine: kate kathy katie kat kathryn catherine kay kit;
    kathleen: kathy kate katie kay; kenneth: ken kenny; kimberly: kim kimberley; lawrence: larry laurence lars;
    leonard: len lenny leo; louis: lou lewis; madeline: maddie madeleine;
    margaret: meg peggy maggie marge margie rita daisy greta; mary: molly polly mae marie maria;
    matthew: matt mattie; melissa: mel missy lissa; michael: mike mick mickey micky mikey;
    mohammed: mohamed muhammad mohammad mohamad; natalie: nat; nathaniel: nate nat nathan;
    nicholas: nick nicky nico nicolas; oliver: ollie; pamela: pam; patricia: pat patty trish tricia;
    patrick: pat paddy; penelope: penny; peter: pete; philip: phil phillip; raymond: ray; rebecca: becky becca;
    reginald: reg reggie; richard: dick rich rick ricky richie; robert: bob bobby rob robbie bert;
    ronald: ron ronnie; rosemary: rose; samantha: sam sammy; samuel: sam sammy; sarah: sara sally sadie;
    sophia: sophie sofia; stephanie: steph; stephen: steve steven; steven: steve stephen;
    susan: sue susie suzie suzanne; suzanne: sue suzie susan; teresa: terry tess theresa; theodore: ted teddy theo;
    thomas: tom tommy thom; timothy: tim timmy; valerie: val; victoria: vicky vicki tori; vincent: vince vinny vin;
    virginia: ginny; walter: walt wally; william: bill billy will willie willy liam; zachary: zach zack zac
"""

# Names used at home and in play (tên ở nhà): food, animals, sounds. Folded, and only such as are no given names.
HOME = frozenset(
    re.findall(
        r"\w+",
        """
        bi bin bo bom bon bong bun bup coc coi cun cu gau gon heo kem ket khoai men meo mim mit moc na
        nan nau nem nghe nhim oc ot pi po pu rom soc soi su sua sun teo thoc ti tit xoai
        """,
    )
)


def _read(table: str) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for entry in table.split(";"):
        long, _, short = entry.partition(":")
        for name in (long.strip(), *short.split()):
            found.setdefault(name, {name}).add(long.strip())
    return {name: frozenset(names) for name, names in found.items()}


FULL = _read(_TABLE)


def full(word: str) -> frozenset[str]:
    """A folded word of a name → the names it may stand for, itself among them."""
    return FULL.get(word) or frozenset((word,))


def alike(one: str, other: str) -> bool:
    """Whether two folded words may be one name: equal, or short for the same."""
    return one == other or (one in FULL and other in FULL and not FULL[one].isdisjoint(FULL[other]))
