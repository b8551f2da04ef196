# ruff: noqa: E501
"""What the targets begin with: texts and files of the kinds that users have, in the short forms of readers.py."""

import random

_CIAO = (b"# Region file format: CIAO version 1.0\nrotbox(4096.5,4000.5,10,20.5,45)\ncircle(103,205,3)-box(103,205,1,1)\n"
         b"polygon(101,201,110,201,110,208,101,208)*!polygon(103,203,105,203,105,205)\n")
_DS9 = (b'# Region file format: DS9 version 4.1\nglobal color=green dashlist=8 3\nfk5\nellipse(15:14:00.0,-59:06:00,2",1\',30)'
        b' # color=red text={a b}\n-circle(228.5,-59.1,1.5")\nimage;annulus(5,5,1,2,3)\n# text(3,4) text={x}\n')
_SHAPES = (b"circle 105 205 3\npie(105,205,1,4,30,90)+sector(105,205,10,350)&rectangle(101,201,109,206)|point(103,203)\n"
           b"field()-ellipse(105,205,3,2,45)\n")
_PANDA = b"# Region file format: DS9 version 4.1\nphysical\npanda(105,205,0,360,4,1,4,3)\nannulus(105,205,1,4,n=3)\nbox(105,205,2,2,4,4,30)\n"

_NAMES = [f"evt2.fits{filters}".encode() for filters in (
    "", "[energy=500:7000,ccd_id=0:3][bin sky=4]", "[exclude sky=region(src.reg)][energy=500:7000]", "[bin time=::259.28]",
    "[energy=1000:2000,4000:8000,grade=0,2:4,6]", "[x=-1.5e3:.5]", "[status=00000000x000xxxxx000000000000000]",
    "[exclude status=b01,1XX]", "[sky=region(f.fits[SRCLIST])]", "[(x,y)=circle(4096,4096,20)]",
    "[sky=field()-ellipse(1,2,3,4,5)*!CIRC(10:11:12,-1:2:3.5,3\")]", "[sky=MASK(expmap)]", "[@f.fits[GTI7]]",
    "[2][energy=500:7000]", "[#ROW = 3, 10:, :2]", "[col -phas,!pi][energy=500:7000]",
    "[bin x=3500:4500:1,y=3500:4500:#512]", "[bin sky=4][opt type=i4]", "[opt null=NaN,type=r4][option full]")]

_TEXTS = [b"broad", b"0.5:7:2.3,soft", b"500:7000", b"0.5-7", b"50 :75", b"15:14:00 -59:06:00", b"228.5 -59.1", b"228.5,-59.1",
          b"# dmcopy (CIAO 4.17): ERROR cannot open x\n# x (1 Jan): WARNING skipping obsid 3\n",
          b"(count_rate>0.5 && count_rate<1.25e-1)\nExposure time of lightcurve = 10.5 ks\n",
          b"ciao-4.17.0\nciao_contrib 4.17.0\n  CALDB        : 4.11.6\n"]
_ARGUMENTS = [b"--sn=30 --smoothsn=45 'my image.fits' # a comment\n--constrainfill", b"\"a\\\"b\" @more c"]

_CONFIG = (b'{"info_dict": {"name": "perseus", "cluster_directory": "../data", "obs_ids": ["754", 16626], "sn_per_region": 70,'
           b' "ccd_ids": "0:3,6", "scales": [1.4, 2], "sigthresh": "auto", "expmapthresh": "1.5%", "refcoord": null},'
           b' "flags": {"reprocessed": false}}')
_TOML = (b'name = "a2029-B"\ncluster_directory = "gr\\u00f6\xc3\x9fer"\nobs_ids = ["3"]\nengine = "native"\nbinsize = 2\n'
         b'sigthresh = 5e-6\nconstrain = "none"\nblank_sky = ["a b/*.evt"]\n')

_CSV = (b"name,image,background,exclude,sn,smooth-sn,automask\nA 1,a.fits,bkg.fits,x.reg;y.reg,30,50,true\n"
        b'A2,"b.fits[sky=region(f.reg)][bin sky=4]",,,,,\n../x,c.fits,,,,,\n')
_MANIFEST_TOML = (b'[[cluster]]\nname = "A 1"\nimage = "a.fits"\nexclude = ["x.reg", "y.reg"]\nsn = 30\nautomask = true\n'
                  b'[[cluster]]\npipeline = "work"\n')
_ECSV = (b"# %ECSV 1.0\n# ---\n# datatype:\n# - {name: name, datatype: string}\n# - {name: image, datatype: string}\n"
         b"# - {name: sn, datatype: float64}\n# schema: astropy-2.0\nname image sn\nA1 a.fits 30.0\n\"A 2\" b.fits nan\n")

_STATE = (b'{"format": 1, "placing": null, "tasks": {"step2:754": {"engine": "native", "versions": {"chandra-bin": "1"},'
          b' "settings": {}, "inputs": {"../a": {"size": 1, "mtime_ns": 2, "inode": 3, "sha256": "00"}}, "outputs": {},'
          b' "others": {}, "started": "", "seconds": 1.5, "warnings": ["w"], "calls": [], "facts": {}}}}')
_PLACING = (b'{"format": 1, "tasks": {}, "placing": {"task": "t", "scratch": ".chandra-bin/scratch/1", "record": {"engine": "n",'
            b' "versions": {}, "settings": {}, "inputs": {}, "outputs": {"a/b": {"size": 0, "mtime_ns": 0, "inode": 0,'
            b' "sha256": ""}}, "warnings": [], "calls": []}}}')

_SKY = (b"CTYPE1='RA---TAN'\nCTYPE2='DEC--TAN'\nCRVAL1=228.5\nCRVAL2=-59.1\nCRPIX1=2\nCRPIX2=2\nCDELT1=-1.4E-4\nCDELT2=1.4E-4\n"
        b"RADESYS='ICRS'\n")
_PHYSICAL = b"CRVAL1P=100.5\nCRPIX1P=0.5\nCDELT1P=2\nCRVAL2P=200.5\nCRPIX2P=0.5\nCDELT2P=2\n"
_LTV = b"LTV1=-10.5\nLTM1_1=0.5\nLTV2=-20\nLTM2_2=0.5\n"
_SIP = (b"CTYPE1='GLON-SIN'\nCTYPE2='GLAT-SIN'\nCRVAL1=10\nCRVAL2=20\nCD1_1=-1E-4\nCD1_2=1E-5\nCD2_1=1E-5\nCD2_2=1E-4\n"
        b"EQUINOX=1950.0\nPV2_1=0.1\nLONPOLE=180\n")
_PRIMARY = b"SIMPLE=T\nBITPIX=8\nNAXIS=0\nEXTEND=T\n"
_IMAGE = b"SIMPLE=T\nBITPIX=16\nNAXIS=2\nNAXIS1=3\nNAXIS2=2\n"
_PIXELS = bytes((0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6))
_FLOAT_IMAGE = b"SIMPLE=T\nBITPIX=-32\nNAXIS=3\nNAXIS1=2\nNAXIS2=2\nNAXIS3=1\nBSCALE=2\nBLANK=3\n|\n" + bytes(16)


def _table(name: bytes, rows: int, *columns: tuple[bytes, bytes], data: bytes, more: bytes = b"") -> bytes:
    width = sum({b"I": 2, b"J": 4, b"E": 4, b"D": 8, b"X": 4, b"A": int(form[:-1] or 1)}[form[-1:]]
                * (int(form[:-1] or 1) if form[-1:] not in (b"X", b"A") else 1) for _, form in columns)
    fields = b"".join(b"TTYPE%d='%s'\nTFORM%d='%s'\n" % (n, column, n, form)
                      for n, (column, form) in enumerate(columns, start=1))
    return (b"\fXTENSION='BINTABLE'\nBITPIX=8\nNAXIS=2\nNAXIS1=%d\nNAXIS2=%d\nPCOUNT=0\nGCOUNT=1\nTFIELDS=%d\n%sEXTNAME='%s'\n"
            b"%s|\n%s" % (width, rows, len(columns), fields, name, more, data.ljust(width * rows, b"\0")))


_GTI = _table(b"GTI", 1, (b"START", b"1D"), (b"STOP", b"1D"), data=b"\0" * 8 + b"\x40\x59" + b"\0" * 6, more=b"CCD_ID=3\n")
_EVENTS = _PRIMARY + _table(
    b"EVENTS", 2, (b"time", b"1D"), (b"ccd_id", b"1I"), (b"x", b"1E"), (b"y", b"1E"), (b"energy", b"1E"), (b"status", b"32X"),
    data=(b"\x40\x24" + b"\0" * 6 + b"\0\x03" + b"\x45\x80\x04\0" * 2 + b"\x44\x7a\0\0" + b"\0" * 4) * 2,
    more=b"TLMIN3=0.5\nTLMAX3=8192.5\nTLMIN4=0.5\nTLMAX4=8192.5\nTCTYP3='RA---TAN'\nTCTYP4='DEC--TAN'\nTCRVL3=228.5\n"
         b"TCRVL4=-59.1\nTCRPX3=4096.5\nTCRPX4=4096.5\nTCDLT3=-1.4E-4\nTCDLT4=1.4E-4\nTCUNI3='deg'\nTCUNI4='deg'\n"
         b"MTYPE1='sky'\nMFORM1='x,y'\nDSTYP1='ccd_id'\nDSVAL1='3:3'\nDSFORM1='I'\nDSTYP2='time'\nDSVAL2='TABLE'\n"
         b"DSREF2=':GTI3'\nTSTART=0\nTSTOP=100\nONTIME3=100\n") + _GTI
_CURVE = _PRIMARY + _table(b"LIGHTCURVE", 2, (b"TIME", b"1D"), (b"COUNT_RATE", b"1E"), (b"EXPOSURE", b"1D"),
                          data=b"\x3f\xf0" + b"\0" * 6 + b"\x3f\x80\0\0" + b"\x40\x24" + b"\0" * 6
                          + b"\x40\0\0\0\0\0\0\0" + b"\x3f\0\0\0" + b"\x40\x24" + b"\0" * 6, more=b"TIMEDEL=1\n")
_ASPECT = _PRIMARY + _table(b"ASPSOL", 1, (b"time", b"1D"), (b"ra", b"1D"), (b"dec", b"1D"), data=b"")
_BAD_PIXELS = _PRIMARY + _table(b"BADPIX3", 1, (b"chipx", b"2I"), (b"chipy", b"2I"), (b"time", b"1D"), (b"time_stop", b"1D"),
                               data=b"\0\1\0\2\0\3\0\4", more=b"CCD_ID=3\n")
_WINDOWS = _PRIMARY + _table(b"MASK3", 1, (b"SHAPE", b"9A"), (b"chipx", b"2I"), (b"chipy", b"2I"), (b"samp_cyc", b"1J"),
                            data=b"rectangle\0\1\4\0\0\1\4\0\0\0\0\1", more=b"CCD_ID=3\n")
_OUTLINES = _PRIMARY + _table(b"FOV", 1, (b"ccd_id", b"1I"), (b"x", b"3D"), (b"y", b"3D"),
                             data=b"\0\3" + (b"\x40\x24" + b"\0" * 6) * 2 + b"\x40\x34" + b"\0" * 30)
_REGIONS = _PRIMARY + _table(b"REGION", 1, (b"SHAPE", b"16A"), (b"X", b"1D"), (b"Y", b"1D"), (b"R", b"2D"), (b"ROTANG", b"1D"),
                            (b"COMPONENT", b"1J"),
                            data=b"Ellipse".ljust(16) + (b"\x40\x59" + b"\0" * 6) * 2 + (b"\x40\0" + b"\0" * 6) * 3 + b"\0\0\0\1",
                            more=b"HDUCLASS='ASC'\nHDUCLAS1='REGION'\n")

_ENERGIES = ((b"ENERG_LO", b"1E"), (b"ENERG_HI", b"1E"))
_TWO_BINS = b"\x3f\x80\0\0\x40\0\0\0", b"\x40\0\0\0\x40\x40\0\0"
_AREA = _PRIMARY + _table(b"SPECRESP", 2, *_ENERGIES, (b"SPECRESP", b"1E"), more=b"HDUCLAS2='SPECRESP'\n",
                         data=_TWO_BINS[0] + b"\x42\xc8\0\0" + _TWO_BINS[1] + b"\x42\x48\0\0")
_EBOUNDS = _table(b"EBOUNDS", 2, (b"CHANNEL", b"1I"), (b"E_MIN", b"1E"), (b"E_MAX", b"1E"),
                  data=b"\0\1" + _TWO_BINS[0] + b"\0\2" + _TWO_BINS[1])
_REDISTRIBUTION = _PRIMARY + _table(
    b"MATRIX", 2, *_ENERGIES, (b"N_GRP", b"1I"), (b"F_CHAN", b"1I"), (b"N_CHAN", b"1I"), (b"MATRIX", b"2E"),
    data=b"".join(each + b"\0\1\0\1\0\2" + b"\x3f\0\0\0" * 2 for each in _TWO_BINS),
    more=b"HDUCLAS2='RSP_MATRIX'\nHDUCLAS3='REDIST'\nTLMIN4=1\n") + _EBOUNDS
_PHA = _PRIMARY + _table(b"SPECTRUM", 2, (b"CHANNEL", b"1I"), (b"COUNTS", b"1J"), data=b"\0\1\0\0\0\5\0\2\0\0\0\7",
                        more=b"HDUCLASS='OGIP'\nHDUCLAS1='SPECTRUM'\nEXPOSURE=10\nBACKSCAL=1\nAREASCAL=1\nDETCHANS=2\n"
                        b"POISSERR=T\nBACKFILE='none'\n")
_WEIGHTS = _PRIMARY + _table(b"TILES", 1, (b"OBSID", b"1J"), (b"CCD_ID", b"1I"), (b"RA", b"1D"), (b"DEC", b"1D"), (b"ARF", b"1A"),
                            (b"RMF", b"1A"), (b"ARF_ID", b"1A"), (b"RMF_ID", b"1A"),
                            data=b"\0\0\0\1\0\7" + b"\0" * 16 + b"ar01") + _table(
    b"WEIGHTS", 1, (b"BIN", b"1J"), (b"OBSID", b"1J"), (b"TILE", b"1J"), (b"SECONDS", b"1D"), (b"COUNTS", b"1J"),
    data=b"\0\0\0\0\0\0\0\1\0\0\0\0\x40\x24" + b"\0" * 10) + _table(
    b"BINS", 1, (b"BIN", b"1J"), (b"AREA", b"1D"), data=b"\0" * 4 + b"\x40\x24" + b"\0" * 6, more=b"BINMAPID='ab'\n")

SEEDS: dict[str, list[bytes]] = {
    "spectral_file": [_AREA, _REDISTRIBUTION, _PHA, _WEIGHTS],
    "region_text": [_CIAO, _DS9, _SHAPES, _PANDA],
    "virtual_name": _NAMES,
    "stack": [b"a.fits\n# no\n/b/c.fits[energy=1:2]\n", b"\xef\xbb\xbf x y.fits \r\n", b"@-list[x=1]"],
    "small_texts": _TEXTS,
    "argument_file": _ARGUMENTS,
    "config_json": [_CONFIG],
    "config_toml": [_TOML],
    "manifest_csv": [_CSV],
    "manifest_ecsv": [_ECSV],
    "manifest_toml": [_MANIFEST_TOML],
    "state": [_STATE, _PLACING, _PLACING.replace(b"engine", b"\\ngine"),
              _PLACING.replace(b"a/b", b"a\\u0000b")],
    "fits_tables": [_EVENTS, _CURVE, _IMAGE + b"|\n" + _PIXELS],
    "fits_image": [_IMAGE + _SKY + b"|\n" + _PIXELS, _FLOAT_IMAGE, _PRIMARY + b"\fXTENSION='IMAGE'\n" + _IMAGE[9:]
                   + b"PCOUNT=0\nGCOUNT=1\n|\n" + _PIXELS],
    "image_coords": [_SKY + _PHYSICAL, _SKY + _LTV, _SIP + b"NAXIS1=100\nNAXIS2=100\n"],
    "events": [filters + b"\n" + _EVENTS for filters in (b"[energy=500:7000]", b"[bin sky=4096]", b"[#row=1:1][cols x,y]",
                                                        b"[status=0,ccd_id=3:3][bin x=1:5000:100]")],
    "filtered_image": [filters + b"\n" + _IMAGE + _PHYSICAL + b"|\n" + _PIXELS
                       for filters in (b"[sky=circle(101,201,2)]", b"[bin x=::2,y=::2]", b"[x=101:103][opt null=NaN]")],
    "light_curve": [b"\n" + _CURVE, b"[count_rate=:0.75]\n" + _CURVE],
    "good_times": [b"\n" + _EVENTS, b"[GTI]\n" + _EVENTS],
    "ancillary": [_ASPECT, _BAD_PIXELS, _WINDOWS, _OUTLINES],
    "region_table": [_REGIONS],
}
# Words that mutations put in: of the languages of these texts.
WORDS: dict[str, list[bytes]] = {
    "region_text": b"circle( polygon( annulus( box( pie( sector( field() panda( n=3 physical image fk5 galactic global"
                   b" 1e308 nan -1 : ' \" d p i # text= { } * ! - + | & ; 0:0:60".split(b" "),
    "virtual_name": b"[ ] ( ) , : = @ ! region( mask( circle( bin cols opt exclude #row= x= sky= b01 :: # 1e309 nan &&".split(b" "),
    "fits": b"NAXIS1= NAXIS2= NAXIS= BITPIX= PCOUNT= GCOUNT= TFIELDS= TFORM1= TTYPE1= TZERO1= TSCAL1= TNULL1= ZIMAGE=T BSCALE= "
            b" THEAP= EXTNAME= -1 0 999999999999 1E400 'A' T CONTINUE HIERARCH \f | \n 1PD(3) 0X 40X 1C 0A 9999999999J".split(b" "),
    "tree": b"{ } [ ] : , \" null true false 1e999 -1 NaN \\u0000 ../ / [[ ]] = ' \"\"\" # --- %ECSV".split(b" "),
}
_OF_FITS = ("fits_tables", "fits_image", "image_coords", "events", "filtered_image", "light_curve", "good_times", "ancillary", "region_table")
SLOW = (*_OF_FITS, "manifest_ecsv", "region_text")
WORDS.update(dict.fromkeys(_OF_FITS, WORDS["fits"]))
WORDS.update(dict.fromkeys(("config_json", "config_toml", "manifest_csv", "manifest_ecsv", "manifest_toml", "state"),
                           WORDS["tree"]))


def of_kernel(name: str) -> list[bytes]:
    """Any bytes are an input of a kernel: a few, the same each time."""
    draw = random.Random(name)
    return [bytes(draw.choices(range(256), weights=[3] * 64 + [1] * 192, k=size)) for size in (16, 60, 120, 240, 240, 400)]
